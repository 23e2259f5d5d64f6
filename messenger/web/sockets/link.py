"""One open socket, whatever is spoken on it: what comes and leaves in order, and its end.

It is a protocol of asyncio: bytes come in, whole texts are handed on at once. No task waits for an idle socket. Where
its owner has to wait for something, what comes after waits too.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from messenger.web.quota import ConnectionQuota
from messenger.web.sockets import closing
from messenger.web.sockets.closing import DEFINED, LOST, UNNAMED, Closing, may_be_sent
from messenger.web.sockets.frames import close_frame, is_utf8, pong
from messenger.web.sockets.links import Links
from messenger.web.sockets.outbox import Outbox
from messenger.web.sockets.reading import BINARY, CLOSE, PING, TEXT, BrokenFrames, FrameReader
from messenger.web.stalls import StallWatch

NORMAL = 1000


class Owner(Protocol):
    """Knows what is spoken on a link."""

    async def open(self) -> None:
        """Greets the client, who is not heard before."""

    def hear(self, text: bytes) -> Coroutine[Any, Any, None] | None:
        """What cannot be done at once is left to be awaited."""

    def give_up(self) -> None:
        """Called once, when the end has begun: nothing more is sent."""

    async def ended(self) -> None:
        """Called when the connection is lost. Returns when nothing is under way."""

    def restart(self) -> None:
        """Close it: the server stops, or cannot go on with it; the client may come back."""


class Link(asyncio.Protocol):
    __slots__ = (
        "_closer", "_gone", "_is_deaf", "_is_held", "_links", "_quota", "_reader", "_stall_watch", "_tell_gone",
        "_transport", "_waiting", "closed_with", "due", "is_heard", "is_open", "outbox", "owner", "pings",
    )  # fmt: skip

    owner: Owner  # given before the transport

    def __init__(
        self, transport: asyncio.Transport, links: Links, quota: ConnectionQuota, stall_watch: StallWatch | None
    ) -> None:
        """`quota`: of its person, taken; given back at the end."""
        self._transport = transport
        self._links = links
        self._quota = quota
        self._stall_watch = stall_watch
        self._reader = FrameReader()
        self.outbox = Outbox(transport, links.post, self._overflow)
        self.is_open = True  # until either side begins to close it
        self.closed_with: Closing | None = None  # if that was us
        self._is_held = True  # what comes waits, at first for the greeting
        self._is_deaf = False  # what comes is thrown away
        self._waiting: asyncio.Task[None] | None = None  # what it waits for
        self._closer: asyncio.TimerHandle | None = None
        self._gone: asyncio.Future[None] | None = None
        self._tell_gone: Callable[[], None] | None = None
        # For the heartbeat of all links:
        self.is_heard = False
        self.pings = 0
        self.due = 0.0

    # --- in

    def data_received(self, data: bytes) -> None:
        self.is_heard = True
        if self._is_deaf:
            return
        self._reader.feed(data)
        if self._is_held:
            self._transport.pause_reading()
        else:
            self._read()

    def go_on(self) -> None:
        """What has come meanwhile is heard, and then what comes."""
        self._is_held = False
        if not self._transport.is_closing():
            self._transport.resume_reading()
            self._read()

    def _read(self) -> None:
        try:
            while not self._is_held and (found := self._reader.next()) is not None:
                self._take(*found)
        except BrokenFrames as broken:
            self.close(broken.why)
            # To end the connection while more is on its way would reset it, and the client would lose the code.
            self._is_deaf = True

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            self._hear_close(payload)
        elif not self.is_open:
            return
        elif opcode == TEXT:
            if not is_utf8(payload):
                self.close(closing.NOT_UTF8)
            elif (work := self.owner.hear(payload)) is not None:
                self._is_held = True
                self._waiting = self._links.loop.create_task(self._wait(work))
        elif opcode == PING:
            self.outbox.put(pong(payload))
        elif opcode == BINARY:
            self.close(closing.NOT_TEXT)

    async def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._waiting = None
            self.go_on()

    def _hear_close(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2], "big") if payload else NORMAL
        if len(payload) == 1 or not may_be_sent(code):
            self.close(closing.NOT_WEBSOCKET)
        elif not is_utf8(payload[2:]):
            self.close(closing.NOT_UTF8)
        elif self.is_open:
            self._links.ended[code if code in DEFINED else UNNAMED] += 1
            self._send_close(code, "")
        self._hang_up()

    # --- out

    def pause_writing(self) -> None:
        self.outbox.pause()
        if self._stall_watch is not None:
            self._stall_watch.expect_reading()

    def resume_writing(self) -> None:
        if self._stall_watch is not None:
            self._stall_watch.forget()
        self.outbox.resume()

    def _overflow(self) -> None:
        self.close(closing.TOO_SLOW)

    # --- the end

    def close(self, why: Closing, reason: str = "") -> None:
        """At once: nothing more is accepted or sent, but for the code. The client's close frame is awaited a while."""
        if self.is_open:
            self.closed_with = why
            self._links.ended[why.code] += 1
            self._send_close(why.code, reason or why.reason)
            if self._is_held:
                self._links.loop.call_soon(self.go_on)

    def _send_close(self, code: int, reason: str) -> None:
        self.is_open = False
        self.outbox.close()
        if not self._transport.is_closing():
            self._transport.write(close_frame(code, reason))
        # A client that does not read would hold the memory for ever.
        self._closer = self._links.loop.call_later(self._links.pace.close, self.abort)
        self.owner.give_up()

    def _hang_up(self) -> None:
        """Both close frames are said."""
        self._is_held = True
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        is_open, self.is_open = self.is_open, False
        self._is_held = True
        self.outbox.close()
        if self._closer is not None:
            self._closer.cancel()
        if self._stall_watch is not None:
            self._stall_watch.forget()
        if is_open:
            self._links.ended[LOST] += 1
            self.owner.give_up()
        self._waiting = self._links.loop.create_task(self._end(self._waiting))

    async def _end(self, waiting: "asyncio.Task[None] | None") -> None:
        try:
            if waiting is not None:
                await asyncio.wait({waiting})
            await self.owner.ended()
        finally:
            self._links.discard(self)
            self._quota.__exit__()
            if self._tell_gone is not None:
                self._tell_gone()
            if self._gone is not None:
                self._gone.set_result(None)

    def at_end(self, tell: Callable[[], None]) -> None:
        if self in self._links:
            self._tell_gone = tell
        else:
            tell()

    async def gone(self) -> None:
        if self in self._links:
            self._gone = self._links.loop.create_future()
            await self._gone
