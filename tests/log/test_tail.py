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
from messenger.log.replay import Reader, Subscription
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


class Calls:
    """A listener and a sink that keep what each call brought."""

    def __init__(self) -> None:
        self.user_id = self.session_id = 1
        self.calls: list[list[int]] = []

    def hear(self, entry: Entry) -> None:
        self.calls.append([entry.position])

    def hear_run(self, run: Run) -> None:
        self.calls.append([entry.position for entry in run.entries])

    def hear_note(self, note: bytes) -> None: ...
    def session_ended(self) -> None: ...
    def log_restarted(self) -> None: ...
    def end(self) -> None: ...
    def restart(self) -> None: ...

    take, take_run, take_note = hear, hear_run, hear_note


async def render_nothing(kind: str, entries: Sequence[Entry]) -> list[Any]:
    raise AssertionError("nothing is read here")


def said(position: int, chat_id: int = 7, kind: str = "new_message") -> Entry:
    return Entry(position, kind, chat_id, event=b"{}")


@pytest.fixture
def hub() -> Hub:
    hub = Hub()
    hub.position = 10
    return hub


@pytest.fixture
def tail(dsn: str, hub: Hub) -> Tail:
    return Tail(ReconnectingConnection(dsn), hub, render_nothing)


@pytest.mark.parametrize(
    ("entries", "calls"),
    [
        ([said(11), said(12), said(13)], [[11, 12, 13]]),
        ([said(11)], [[11]]),
        ([said(11), said(12), said(13, 8), said(14), said(15)], [[11, 12], [13], [14, 15]]),
        ([said(11), said(12), said(13, kind="message_read"), said(14, kind="message_read")], [[11, 12], [13], [14]]),
        ([said(9), said(10), said(11), said(12)], [[11, 12]]),
        ([said(11), said(13), said(14)], [[11]]),
        ([said(12), said(13)], []),
    ],
    ids=["one run", "one alone", "another chat between", "another kind", "known ones", "a gap", "all too early"],
)
async def test_messages_of_one_chat_that_follow_one_another_are_one_run(tail, hub, entries, calls):
    ear = Calls()
    hub.attach(ear)
    hub.admit(ear, [7, 8], hub.position)

    tail.committed(entries)

    assert ear.calls == calls
    last = max([10, *(position for call in calls for position in call)])
    assert (hub.position, tail.recent.of_chat(7)) == (last, last if calls else 0)


async def test_a_run_is_noted_like_entries_one_by_one(tail):
    """Else what is remembered of chats and people would be forgotten with the next entry, as if it had missed some."""
    tail.known.begin(10)
    tail.known.learn((7, 1, None), "ann", 1, 0, 10)
    tail.known.learn((7, 2, None), "bob", 2, 0, 10)

    tail.committed([said(11), said(12), said(13)])
    tail.committed([said(14)])

    assert tail.known.position == tail.position == 14
    assert tail.known.place([(7, 1, None)]).seqs == [7]


async def test_what_was_too_early_is_heard_in_its_place_and_whose_answer_was_lost_skips_its_own(tail, hub):
    ear, sender = Calls(), Calls()
    for one in (ear, sender):
        hub.attach(one)
        hub.admit(one, [7], hub.position)
    tail.committed([said(13), said(14)])
    tail.answered(12, sender)

    tail.committed([said(11), said(12)])

    assert [position for call in ear.calls for position in call] == [11, 12, 13, 14]
    assert [position for call in sender.calls for position in call] == [11, 13, 14]


async def test_a_run_is_taken_whole_only_by_a_live_subscription_that_has_none_of_it(tail, hub, dsn):
    sink = Calls()
    subscription = Subscription(hub, Reader(None, tail), 1, 1, sink)  # type: ignore[arg-type]
    hub.attach(subscription)
    hub.admit(subscription, [7], hub.position)

    assert subscription.go_live(10)
    tail.committed([said(11), said(12)])
    subscription.is_live = False
    tail.committed([said(13), said(14), said(15)])
    assert sink.calls == [[11, 12]]

    assert not subscription.go_live(14), "what came after that is to be read"
    subscription.position, subscription.is_live = 16, True  # a page told of the first one of the next run
    tail.committed([said(16), said(17), said(18)])
    assert sink.calls == [[11, 12], [17], [18]]
