"""Commits that hang, because a synchronous standby is frozen: reads answer, and a sender is told so within a second.

The lock of the chat stays with the commit that hangs, so nobody else writes there meanwhile; no wait is ever cancelled,
for PostgreSQL would take that for a commit without the standby.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from messenger.app import create_app
from messenger.log import appender
from messenger.web.server import make_runner
from proof.lab.postgres import Postgres
from proof.lab.waiting import happens
from tests.actors import Person, Server
from tests.conftest import configured
from tests.sockets import SOON, Refused, Socket

pytestmark = pytest.mark.usefixtures("one_second")


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[Postgres]:
    async with Postgres.made(tmp_path).running(schema=True) as one:
        yield one


@pytest.fixture
async def sql(postgres: Postgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres.dsn)
    yield connection
    connection.terminate()


@pytest.fixture
async def server(postgres: Postgres, sql: asyncpg.Connection, tmp_path: Path) -> AsyncIterator[Server]:
    async with Server.running(make_runner(create_app(configured(tmp_path / "data", {}), postgres.dsn))) as running:
        yield running


async def is_refused(socket: Socket, chat: str, text: str) -> bool:
    answer = await socket.sends("new_message", chat_id=chat, text=text, client_id=text)
    with pytest.raises(Refused) as refused:
        await asyncio.wait_for(answer, SOON)
    return refused.value.code == "unavailable"


async def test_sends_are_answered_while_their_commit_hangs_and_are_stored_when_the_standby_is_back(
    alice: Person, postgres: Postgres, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messenger.db.connection.STATEMENT_TIMEOUT", 3600.0)
    lunch, dinner = await alice.opens_chat("lunch"), await alice.opens_chat("dinner")

    async with alice.connects() as hers:
        await hers.asks("new_message", chat_id=lunch, text="hello")
        await postgres.wait_for_standby("nobody")
        assert await is_refused(hers, lunch, "one")
        assert await is_refused(hers, lunch, "two")
        assert await is_refused(hers, dinner, "three")
        assert await sql.fetchval("select count(*) from messages") == 1, "a commit that hangs is not seen"
        await postgres.wait_for_standby("")
        heard = await hers.hears("new_message")
        acks = [
            await hers.asked("new_message", chat_id=chat, text=text, client_id=text)
            for chat, text in ((lunch, "one"), (lunch, "two"), (dinner, "three"))
        ]

    assert heard["message"]["text"] == "one", "what was stored after all is told to its sender as to everybody"
    assert [(ack["result"]["text"], ack.get("replayed", False)) for ack in acks] == [
        ("one", True),
        ("two", False),
        ("three", False),
    ]


async def test_a_commit_that_hangs_beyond_its_deadline_is_left_alone_and_keeps_its_chat(
    alice: Person, postgres: Postgres, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messenger.db.connection.STATEMENT_TIMEOUT", 0.5)
    monkeypatch.setattr(appender, "LOCKED_PATIENCE", 3600.0)  # this lock is no stranger's, so nobody waits so long
    lunch = await alice.opens_chat("lunch")

    async with alice.connects() as hers:
        await hers.asks("new_message", chat_id=lunch, text="hello")
        await postgres.wait_for_standby("nobody")
        assert await is_refused(hers, lunch, "one")
        later = await hers.sends("new_message", chat_id=lunch, text="two", client_id="two")
        await happens(partial(somebody_waits_for_its_lock, sql), "another batch behind it")
        with pytest.raises(Refused):
            await asyncio.wait_for(later, SOON)
        hanging = await sql.fetchval(HANGING)
        log = postgres.data.with_suffix(".log").read_text()
        await postgres.wait_for_standby("")
        ack = await hers.asked("new_message", chat_id=lunch, text="one", client_id="one")

    assert hanging == 1
    assert "canceling wait for synchronous replication" not in log
    assert (ack["result"]["seq"], ack["replayed"]) == (2, True)


HANGING = "select count(*) from pg_stat_activity where wait_event = 'SyncRep' and query like '%log_append%'"
BEHIND = "select exists(select from pg_stat_activity where wait_event_type = 'Lock' and query like '%log_append%')"


async def somebody_waits_for_its_lock(sql: asyncpg.Connection) -> bool:
    return bool(await sql.fetchval(BEHIND))
