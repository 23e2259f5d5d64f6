"""Sends a socket what it missed, in order and as fast as it reads; then it is live. One replay at a time."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

from messenger.apps.ws import protocol
from messenger.db.connection import ConnectionLost
from messenger.errors import BadParameters, MessengerError
from messenger.log.entries import Cursor, Entry
from messenger.log.log import Log
from messenger.log.replay import Subscription
from messenger.web.sockets.outbox import Outbox

log = logging.getLogger(__name__)


class Resuming:
    """Never cancelled while it reads: the line to the database is shared, and a broken statement would cut it."""

    __slots__ = ("_acked", "_lost", "_outbox", "_refuse", "_replayed", "_stream", "_subscription", "_task", "_turn")

    def __init__(
        self,
        stream: Log,
        subscription: Subscription,
        outbox: Outbox,
        refuse: Callable[[str | None, MessengerError], None],
        lost: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._subscription = subscription
        self._outbox = outbox
        self._refuse = refuse
        self._lost = lost
        self._turn = 0  # of the current replay; an older one stops at its next step
        self._task: asyncio.Task[None] | None = None
        self._replayed = 0
        self._acked: set[str] | None = None  # sent by this socket during the replay: it has had the answer

    def start(self, cursor: Cursor | None, head: int, ref: str | None = None) -> None:
        """From the cursor, or without one from `head`. From here on nothing but the replay is sent until its end."""
        self._subscription.is_live = False
        self._turn += 1
        work = self._replay(self._turn, self._task, cursor, head, ref)
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(self._forget)

    def _forget(self, task: "asyncio.Task[None]") -> None:
        if self._task is task:
            self._task = None

    def stop(self) -> None:
        self._turn += 1

    async def stopped(self) -> None:
        self.stop()
        if self._task is not None:
            await self._task

    def acked(self, message_id: str) -> None:
        if not self._subscription.is_live:
            self._acked = (self._acked or set()) | {message_id}

    async def _replay(
        self, turn: int, before: "asyncio.Task[None] | None", cursor: Cursor | None, head: int, ref: str | None
    ) -> None:
        if before is not None:
            await before
        try:
            if turn == self._turn:
                await (self._go_live(turn, head) if cursor is None else self._catch_up(turn, cursor, ref))
        except (ConnectionLost, MessengerError, ConnectionError):
            self._lost()
        except Exception:
            log.exception("a replay failed user=%s", self._subscription.user_id)
            self._lost()
        if turn != self._turn and ref is not None:
            self._refuse(ref, BadParameters("Another resume took the place of this one."))

    async def _catch_up(self, turn: int, cursor: Cursor, ref: str | None) -> None:
        missed = await self._stream.reader.missed(self._subscription.user_id, cursor)
        if turn != self._turn:
            return
        if missed.resync:
            now = str(self._stream.cursor(missed.head))
            self._put({"type": "resync", "reason": missed.resync, "cursor": now})
            await self._go_live(turn, missed.head)
            self._answer(turn, ref, {"cursor": now, "resync": True})
            return
        for one in missed.limited:
            self._put({"type": "limited", **one.fields(), "cursor": str(cursor)})

        def at_end() -> None:
            result = {"cursor": str(self._stream.cursor(self._subscription.position)), "replayed": self._replayed}
            self._put({"type": "resumed", **result})
            self._answer(turn, ref, result)

        passed = [one.chat_id for one in missed.limited]
        await self._send_pages(turn, cursor.position, passed=passed, passed_upto=missed.head, at_end=at_end)

    async def _go_live(self, turn: int, head: int) -> None:
        await self._send_pages(turn, head)

    async def _send_pages(
        self,
        turn: int,
        after: int,
        *,
        passed: Sequence[int] = (),
        passed_upto: int = 0,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        def end() -> None:
            at_end()
            self._acked = None

        self._replayed = 0
        pages = self._subscription.catch_up(after, passed=passed, passed_upto=passed_upto, at_end=end)
        async with aclosing(pages):
            async for page in pages:
                for entry in page:
                    if self._is_news(entry):
                        self._outbox.put(protocol.of_entry(entry))
                        self._replayed += 1
                    if self._outbox.is_behind:
                        await self._outbox.room()
                    if turn != self._turn:
                        return
                if turn != self._turn:  # after its last page it would go live
                    return

    def _is_news(self, entry: Entry) -> bool:
        return bool(entry.event) and str(entry.position) not in (self._acked or ())

    def _put(self, fields: dict[str, Any]) -> None:
        self._outbox.put(protocol.encode_frame(fields))

    def _answer(self, turn: int, ref: str | None, result: dict[str, Any]) -> None:
        if ref is not None and turn == self._turn:
            self._outbox.put(protocol.ack(ref, result))
