"""Receipts while the database is away, while the client does not read, and after their end."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from messenger.apps.classic.closing import GOING_AWAY
from messenger.apps.classic.receipts import MOST_WAITING, Receipts
from messenger.apps.messages.schemas import ReadMessage
from messenger.errors import Unavailable
from messenger.log.entries import Entry
from messenger.web.sockets.closing import TOO_SLOW, Closing
from tests.web.sockets.test_outbox import Wire, outbox_on

pytestmark = pytest.mark.shared

ME, CHAT = 7, 3


class Desk:
    """A database that is away for so many looks, and a wire to the client."""

    def __init__(self, away_for: int = 0, is_in: Callable[[], bool] = lambda: True) -> None:
        self.away_for = away_for
        self.wire = Wire()
        self.given_up: list[Closing] = []
        outbox = outbox_on(self.wire, lambda: None)
        self.receipts = Receipts(self.look, outbox, lambda chat_id: is_in(), self.given_up.append)

    async def look(self, chat_id: int, first: int, last: int, most: int) -> list[ReadMessage]:
        await asyncio.sleep(0)
        self.away_for -= 1
        if self.away_for >= 0:
            raise Unavailable
        return [ReadMessage(1000 + seq, seq, "i:1") for seq in range(first, last + 1)][:most]

    def hears(self, **data: Any) -> None:
        kind = "message_read" if "reads" in data else "message_read_by_all"
        self.receipts.add(Entry(1, kind, CHAT, data=data), ME)

    async def told(self, number: int) -> bytes:
        async with asyncio.timeout(20):
            while (words := b"".join(self.wire.written)).count(b'"message_read"') < number:
                await asyncio.sleep(0.01)
        return words


async def test_what_cannot_be_looked_up_now_is_told_when_the_database_is_back() -> None:
    desk = Desk(away_for=2)

    desk.hears(from_seq=1, to_seq=2, message_id=1002)

    words = await desk.told(2)
    assert words.index(b"1001") < words.index(b"1002")
    assert desk.given_up == []
    await desk.receipts.stopped()


async def test_an_end_in_the_middle_is_an_end() -> None:
    desk = Desk(away_for=1000)
    desk.hears(from_seq=1, to_seq=2, message_id=1002)
    await asyncio.sleep(0)

    async with asyncio.timeout(20):
        await desk.receipts.stopped()

    assert desk.wire.written == []
    assert desk.given_up == [GOING_AWAY]


async def test_more_than_can_wait_gives_the_socket_up() -> None:
    desk = Desk(away_for=1000)

    for _ in range(MOST_WAITING + 1):
        desk.hears(from_seq=1, to_seq=1, message_id=1001)

    assert desk.given_up == [TOO_SLOW]
    await desk.receipts.stopped()


async def test_of_a_chat_one_is_not_in_and_of_oneself_nothing_is_told() -> None:
    answers = iter((False, False, True))
    desk = Desk(is_in=lambda: next(answers))

    desk.hears(from_seq=1, to_seq=2, message_id=1002)
    desk.hears(reads=[[ME, 1, 2, 1002]])
    desk.hears(from_seq=5, to_seq=5, message_id=1005)

    words = await desk.told(1)
    assert b"1005" in words
    assert words.count(b"message_id") == 1
    await desk.receipts.stopped()
