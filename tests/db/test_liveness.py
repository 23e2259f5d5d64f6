"""A silent database is noticed, and nothing else is taken for one."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from sqlalchemy import text

from messenger.db import driver, liveness
from messenger.db.connection import ConnectionLost, ReconnectingConnection
from messenger.db.database import Database
from messenger.db.liveness import Liveness
from messenger.db.private import keeper
from messenger.errors import Unavailable
from proof.lab.proxy import Mood, Proxy, to_file

PATIENCE = 0.75  # as the product has it; the other tests are more patient
SOON = 10.0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "PATIENCE", PATIENCE)
    monkeypatch.setattr(driver, "CONNECT_TIMEOUT", 1.0)


@pytest.fixture
async def proxy(dsn: str) -> AsyncIterator[Proxy]:
    folder = parse_qs(urlsplit(dsn).query)["host"][0]
    proxy = await Proxy(to_file(f"{folder}/{keeper.SOCKET}")).start()
    yield proxy
    await proxy.close()


@asynccontextmanager
async def watched(dsn: str, proxy: Proxy) -> AsyncIterator[tuple[Liveness, Database, ReconnectingConnection]]:
    """Past the proxy, with a connection of each kind that has spoken."""
    url = f"postgresql://messenger@127.0.0.1:{proxy.port}{urlsplit(dsn).path}?sslmode=disable"
    one = Liveness(url)
    db, line = Database(url, liveness=one), ReconnectingConnection(url, liveness=one)
    one.start()
    await asks(db, "select 1")
    await line.rows("select 1")
    try:
        yield one, db, line
    finally:
        await one.stop()
        await db.close()
        line.close()


async def asks(db: Database, statement: str) -> object:
    async with db.reading() as tx:
        return (await tx.session.execute(text(statement))).scalar_one()


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not claim():
            await asyncio.sleep(0.01)


async def test_when_it_falls_silent_all_who_wait_are_told_and_nobody_begins_to_wait(dsn: str, proxy: Proxy) -> None:
    async with watched(dsn, proxy) as (one, db, line):
        proxy.mood = Mood.SILENT

        told = await asyncio.wait_for(
            asyncio.gather(asks(db, "select 2"), asks(db, "select 3"), line.rows("select 4"), return_exceptions=True),
            SOON,
        )

        assert [type(error) for error in told] == [Unavailable, Unavailable, ConnectionLost]
        assert (one.is_silent, one.silences) == (True, 1)
        before = proxy.passings.copy()
        with pytest.raises(Unavailable):
            await asks(db, "select 5")
        with pytest.raises(ConnectionLost):
            await line.rows("select 6")
        assert len(proxy.passings - before) <= 1, "only the watch goes on trying"

        proxy.mood = Mood.OPEN
        proxy.cut(only_lossy=True)
        await until(lambda: not one.is_silent)
        assert await asks(db, "select 7") == 7
        assert (await line.rows("select 8"))[0][0] == 8
        assert one.silences == 1


async def test_a_statement_that_takes_long_is_left_alone_while_the_database_answers(dsn: str, proxy: Proxy) -> None:
    async with watched(dsn, proxy) as (one, db, line):
        long = 3 * PATIENCE

        answers = await asyncio.gather(
            asks(db, f"select 1 from pg_sleep({long})"), line.rows(f"select 2 from pg_sleep({long})")
        )

        assert (answers[0], answers[1][0][0]) == (1, 2)
        assert one.silences == 0


async def test_a_process_that_was_busy_itself_blames_nobody(dsn: str, proxy: Proxy) -> None:
    async with watched(dsn, proxy) as (one, db, _):
        for _ in range(4):
            time.sleep(PATIENCE)  # nothing else runs in this process meanwhile, as when it is stopped
            await asyncio.sleep(0)

        assert await asks(db, "select 1") == 1
        assert one.silences == 0


async def test_a_connection_that_is_lost_is_no_silence(dsn: str, proxy: Proxy, sql: asyncpg.Connection) -> None:
    pids = (
        "select pid from pg_stat_activity where application_name = 'messenger watch' and datname = current_database()"
    )
    async with watched(dsn, proxy) as (one, db, _):
        await sql.execute(f"select pg_terminate_backend(pid) from ({pids}) x")

        assert await asks(db, "select 1") == 1
        async with asyncio.timeout(SOON):
            while not await sql.fetchval(f"select exists ({pids})"):
                await asyncio.sleep(0.01)
        assert one.silences == 0
