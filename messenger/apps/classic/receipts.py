"""Receipts message by message: entries of the log are about runs, older clients expect a frame for each message.

The author's messages within a run are read from the database, page by page, as fast as the client takes its frames.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from messenger.apps.classic import views
from messenger.apps.classic.closing import GOING_AWAY
from messenger.errors import Unavailable
from messenger.log.entries import Entry
from messenger.web.sockets.closing import TOO_SLOW, Closing
from messenger.web.sockets.outbox import Outbox

if TYPE_CHECKING:
    from messenger.apps.messages.schemas import ReadMessage

log = logging.getLogger(__name__)

MOST_WAITING = 256
PAGE = 200
LAST_ONES = 200  # of the messages that a reader passes at once; an entry names the authors of so many
TRIES, PAUSE = 40, 0.25  # a database that is away comes back within this time

Look = Callable[[int, int, int, int], Awaitable["list[ReadMessage]"]]  # my messages: chat, from, to, how many at most


class Receipts:
    """One at a time and in order. Never cancelled while it reads: a broken statement would cut a shared line."""

    __slots__ = ("_give_up", "_is_heard", "_is_over", "_look", "_outbox", "_task", "_waiting")

    def __init__(
        self, look: Look, outbox: Outbox, is_heard: Callable[[int], bool], give_up: Callable[[Closing], None]
    ) -> None:
        """`is_heard`: whether I am still in this chat."""
        self._look = look
        self._outbox = outbox
        self._is_heard = is_heard
        self._give_up = give_up
        self._waiting: deque[Entry] = deque()
        self._task: asyncio.Task[None] | None = None
        self._is_over = False

    def add(self, entry: Entry, me: int) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._give_up(TOO_SLOW)
            return
        self._waiting.append(entry)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(me))

    def stop(self) -> None:
        self._is_over = True

    async def stopped(self) -> None:
        self.stop()
        if self._task is not None:
            await self._task

    async def _run(self, me: int) -> None:
        try:
            while self._waiting:
                entry = self._waiting.popleft()
                async for chat_id, frame in self._frames(entry, me):
                    if self._is_over:
                        return
                    if self._is_heard(chat_id):
                        self._outbox.put(frame)
                    if self._outbox.is_behind:
                        await self._outbox.room()
        except (Unavailable, ConnectionError):
            self._give_up(GOING_AWAY)
        except Exception:
            log.exception("receipts failed user=%s", me)
            self._give_up(GOING_AWAY)
        finally:
            self._task = None

    async def _frames(self, entry: Entry, me: int) -> AsyncIterator[tuple[int, bytes]]:
        assert entry.chat_id is not None
        if entry.kind == "message_read_by_all":
            async for one in self._own(entry.chat_id, entry.data["from_seq"], entry.data["to_seq"]):
                yield entry.chat_id, views.read_by_all(one, entry.chat_id)
            return
        runs = [(who, start, end) for who, start, end, _ in entry.data["reads"] if who != me]
        if not runs:
            return
        last = max(end for _, _, end in runs)
        first = max(min(start for _, start, _ in runs), last - LAST_ONES + 1)
        async for one in self._own(entry.chat_id, first, last):
            for who, start, end in runs:
                if start <= one.seq <= end:
                    yield entry.chat_id, views.read_by_one(one, entry.chat_id, who)

    async def _own(self, chat_id: int, first: int, last: int) -> "AsyncIterator[ReadMessage]":
        while first <= last:
            page = await self._patiently(chat_id, first, last)
            for one in page:
                yield one
            if len(page) < PAGE:
                return
            first = page[-1].seq + 1

    async def _patiently(self, chat_id: int, first: int, last: int) -> "list[ReadMessage]":
        for _ in range(TRIES):
            try:
                return await self._look(chat_id, first, last, PAGE)
            except Unavailable:
                if self._is_over:
                    raise
                await asyncio.sleep(PAUSE)
        raise Unavailable
