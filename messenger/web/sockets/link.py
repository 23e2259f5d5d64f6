"""One open socket, whatever is spoken on it: what comes and leaves in order, its heartbeat, its end."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import WSCloseCode, WSMsgType, web

from messenger.web.sockets import closing
from messenger.web.sockets.closing import Closing, may_be_sent
from messenger.web.sockets.frames import PING, is_utf8, pong
from messenger.web.sockets.outbox import Outbox, Post
from messenger.web.sockets.upgrade import Socket

MOST_PINGS = 2  # unanswered ones in a row


@dataclass(frozen=True, slots=True)
class Pace:
    """In seconds. Shorter ones are for tests."""

    heartbeat: float = 25.0
    pong: float = 10.0
    command: float = 15.0
    close: float = 2.0


class Link:
    __slots__ = (
        "_closer", "_heard_at", "_heartbeat", "_pace", "_pings", "_socket", "_tell_closed", "_transport", "closed_with",
        "outbox",
    )  # fmt: skip

    def __init__(
        self, request: web.Request, socket: Socket, post: Post, pace: Pace, tell_closed: Callable[[], None]
    ) -> None:
        """`tell_closed`: called once, at the moment when the server decides to close it."""
        assert request.transport is not None
        self._socket = socket
        self._transport = request.transport
        self._pace = pace
        self._tell_closed = tell_closed
        self.outbox = Outbox(request.transport, post, request.protocol._drain_helper, self._overflow)
        socket.before_close = self.outbox.close  # a close frame is the last one, also if aiohttp writes it
        self.closed_with: Closing | None = None
        self._closer: asyncio.Task[None] | None = None
        self._heard_at = time.monotonic()
        self._pings = 0
        self._heartbeat: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._heartbeat = asyncio.get_running_loop().call_later(self._pace.heartbeat, self._beat)

    async def next_text(self) -> bytes | None:
        """What the client says next, in UTF-8; None: it is over."""
        while True:
            message = await self._socket.receive()
            self._heard_at, self._pings = time.monotonic(), 0
            if self.closed_with is not None:
                return None
            if message.type is WSMsgType.TEXT:
                words: bytes = message.data
                if is_utf8(words):
                    return words
                self.close(closing.NOT_UTF8)
            elif message.type is WSMsgType.PING:
                self.outbox.put(pong(message.data))
            elif message.type is WSMsgType.BINARY:
                self.close(closing.NOT_TEXT)
            elif message.type is WSMsgType.CLOSE:
                await self._answer_close(message.data)
                return None
            elif message.type is not WSMsgType.PONG:
                return None

    async def _answer_close(self, code: int) -> None:
        """The client's close frame; 0: it named no code."""
        if code and not may_be_sent(code):
            self.close(closing.NOT_WEBSOCKET)
        else:
            await self._socket.close(code=code or WSCloseCode.OK, drain=False)

    def close(self, why: Closing, reason: str = "") -> None:
        """At once: nothing more is accepted or sent, but for the code."""
        if self.closed_with is None:
            self.closed_with = why
            self.outbox.close()
            self._tell_closed()
            self._closer = asyncio.get_running_loop().create_task(self._close(why.code, reason or why.reason))

    def _overflow(self) -> None:
        self.close(closing.TOO_SLOW)

    def stop(self) -> None:
        """Nothing is sent any more."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        self.outbox.close()

    async def ended(self) -> None:
        if self._closer is not None:
            await self._closer

    async def _close(self, code: int, reason: str) -> None:
        with suppress(Exception):
            async with asyncio.timeout(self._pace.close):
                await self._socket.close(code=code, message=reason.encode(), drain=False)
        self._transport.abort()  # a client that did not read until now would hold the memory for ever

    def _beat(self) -> None:
        silent = time.monotonic() - self._heard_at
        if self.closed_with is not None:
            return
        if self._pings == MOST_PINGS:
            self.close(closing.HEARTBEAT_LOST)
            return
        if self._pings or silent >= self._pace.heartbeat:
            self._pings += 1  # until something is heard
            self.outbox.put(PING)
            wait = self._pace.pong
        else:
            wait = self._pace.heartbeat - silent
        self._heartbeat = asyncio.get_running_loop().call_later(wait, self._beat)
