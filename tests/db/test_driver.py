"""Connections: only to a server that takes writes, and none outlives a statement for which nobody waits."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from messenger.db import connection as lines
from messenger.db import database, driver
from messenger.db.connection import ReconnectingConnection
from messenger.db.database import Database
from messenger.errors import BadParameters, Unavailable
from proof.lab.waiting import happens

NOTE = "insert into probe values (1)"
LATE = "insert into probe select 1 from pg_sleep(1)"
READ_ONLY = "set default_transaction_read_only = on"  # as on a standby
Speak = Callable[[str], Awaitable[object]]


@pytest.fixture
async def db(dsn: str, sql: asyncpg.Connection) -> AsyncIterator[Database]:
    await sql.execute("create table probe (n int)")
    db = Database(dsn, pool_size=1)
    yield db
    await db.close()


@pytest.fixture(params=["pool", "line"])
async def speak(request: pytest.FixtureRequest, dsn: str, db: Database) -> AsyncIterator[Speak]:
    """One and the same connection each time, as long as it is kept."""
    connection = ReconnectingConnection(dsn)

    async def through_the_pool(statement: str) -> None:
        async with db.reading() as tx:
            await tx.session.execute(text(statement))

    yield connection.rows if request.param == "line" else through_the_pool
    connection.close()


async def test_a_connection_that_has_led_to_a_standby_is_not_kept(speak: Speak, sql: asyncpg.Connection) -> None:
    await speak(READ_ONLY)

    with pytest.raises(Unavailable):
        await speak(NOTE)
    await speak(NOTE)

    assert await sql.fetchval("select count(*) from probe") == 1


async def test_a_statement_that_was_given_up_goes_on(speak: Speak, sql: asyncpg.Connection) -> None:
    waiting = asyncio.create_task(speak(LATE))
    await happens(lambda: begun(sql), "the statement to begin")

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await speak(NOTE)

    await happens(lambda: noted(sql, 2), "what the statement does")


async def test_a_statement_that_took_too_long_goes_on(
    dsn: str, db: Database, speak: Speak, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "COMMAND_TIMEOUT", 0.3)
    monkeypatch.setattr(lines, "STATEMENT_TIMEOUT", 0.3)

    with pytest.raises(Unavailable):
        await speak(LATE)
    await speak(NOTE)

    await happens(lambda: noted(sql, 2), "what the statement does")


async def begun(sql: asyncpg.Connection) -> bool:
    sleeping = (
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep')"
    )
    return bool(await sql.fetchval(sleeping))


async def noted(sql: asyncpg.Connection, n: int) -> bool:
    return bool(await sql.fetchval("select count(*) = $1 from probe", n))


@pytest.mark.parametrize(
    ("kind", "given"), [("text", "a\0b"), ("text", "\ud800"), ("bigint", 2**70), ("smallint", 2**40)]
)
async def test_text_and_numbers_that_cannot_be_stored_are_the_callers_doing(
    db: Database, kind: str, given: object
) -> None:
    async with db.reading() as tx:
        assert (await tx.session.execute(text("select 1"))).scalar_one() == 1

    with pytest.raises(BadParameters):
        async with db.reading() as tx:
            await tx.session.execute(text(f"select cast(:given as {kind})"), {"given": given})


@pytest.mark.parametrize(
    ("statement", "given"),
    [("selec 1", None), ("select 1 / cast(:given as int)", 0), ("select cast(:given as int)", "one")],
)
async def test_a_fault_in_a_statement_of_ours_is_not_blamed_on_the_caller(
    db: Database, statement: str, given: object
) -> None:
    with pytest.raises(DBAPIError):
        async with db.reading() as tx:
            await tx.session.execute(text(statement), {"given": given} if ":given" in statement else {})


async def test_a_transaction_has_the_name_of_the_request_and_gives_it_back(db: Database) -> None:
    async def name() -> str:
        async with db.transaction() as tx:
            return str((await tx.run("select current_setting('application_name')")).scalar_one())

    own = f"messenger {driver.HOST}:{os.getpid()}"
    assert await name() == own
    given = driver.ASKED_BY.set("it's" + "a" * 100)
    try:
        assert await name() == (f"{own} it's" + "a" * 100)[:63]
    finally:
        driver.ASKED_BY.reset(given)
    assert await name() == own
