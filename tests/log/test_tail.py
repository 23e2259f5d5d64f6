"""The tail by itself, on a real log: what it does when those who show its entries cannot."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from messenger.db.connection import ReconnectingConnection
from messenger.errors import Unavailable
from messenger.log.entries import Entry, Render, Run
from messenger.log.hub import Hub
from messenger.log.tail import Tail


@dataclass(eq=False)
class Ear:
    user_id: int = 1
    session_id: int = 1
    heard: list[int] = field(default_factory=list)

    def hear(self, entry: Entry) -> None:
        self.heard.append(entry.position)

    def hear_run(self, run: Run) -> None:
        for entry in run.entries:
            self.hear(entry)

    def hear_note(self, note: bytes) -> None:
        raise AssertionError(note)

    def session_ended(self) -> None:
        raise AssertionError

    def log_restarted(self) -> None:
        raise AssertionError


async def followed(dsn: str, sql: asyncpg.Connection, hub: Hub, ear: Ear, render: Render) -> int:
    """Two entries are written and followed; the position of the second."""
    connection = ReconnectingConnection(dsn)
    tail = Tail(connection, hub, render)
    hub.attach(ear)
    hub.admit(ear, [7], 0)
    await tail.start()
    following = asyncio.create_task(tail.run())
    last = await sql.fetchval(
        "select last from log_emit('{chat_changed,chat_changed}', '{7,7}', '{null,null}', '{1,1}', '{null,null}',"
        " '{null,null}')"
    )
    async with asyncio.timeout(10):
        await tail.reach(last)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    connection.close()
    return int(last)


async def test_an_entry_that_cannot_be_rendered_stops_neither_the_others_nor_the_log(
    dsn: str, sql: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    async def render(kind: str, entries: Sequence[Entry]) -> list[Any]:
        if any(entry.position % 2 for entry in entries):
            raise ValueError("an odd position")
        return [{} for _ in entries]

    ear = Ear()
    last = await followed(dsn, sql, Hub(), ear, render)

    assert ear.heard == [position for position in (last - 1, last) if position % 2 == 0]
    assert len([record for record in caplog.records if "cannot be rendered" in record.message]) == 1


async def test_while_the_database_is_away_entries_wait_and_nobody_calls_it_a_mistake(
    dsn: str, sql: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0

    async def render(kind: str, entries: Sequence[Entry]) -> list[Any]:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable
        return [{} for _ in entries]

    ear = Ear()
    last = await followed(dsn, sql, Hub(), ear, render)

    assert (tries, ear.heard) == (3, [last - 1, last])
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
