"""What one socket still has to be sent. Nobody who puts something in ever waits.

What is put in one turn of the loop leaves together at its end, in one write: the kernel's part of a delivery costs more
than ours. Behind a slow reader frames gather here, bounded in number and bytes; past the bound the socket is given up,
so that others do not feel it.
"""

import asyncio
from collections.abc import Callable

MOST_FRAMES = 256
MOST_BYTES = 1 << 20
SMALL = 1 << 16  # the mark above which asyncio and uvloop ask to pause


class Post:
    """The outboxes of a process that have something to send in this turn: one call at its end for all of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._due: list[Outbox] = []

    def collect(self, outbox: "Outbox") -> None:
        if not self._due:
            self.loop.call_soon(self._deliver)
        self._due.append(outbox)

    def _deliver(self) -> None:
        due, self._due = self._due, []
        for outbox in due:
            outbox.flush()


class Outbox:
    # Most sockets are idle most of the time: what one needs only when something happens is made then.
    __slots__ = (
        "_bytes", "_drained", "_is_closed", "_is_due", "_overflow", "_pieces", "_post", "_transport", "is_behind"
    )  # fmt: skip

    def __init__(self, transport: asyncio.WriteTransport, post: Post, overflow: Callable[[], None]) -> None:
        self._transport = transport
        self._post = post
        self._overflow = overflow
        self._pieces: list[bytes] | None = None
        self._bytes = 0
        self._is_due = False  # waits for the end of this turn only
        self._is_closed = False
        self._drained: asyncio.Future[None] | None = None  # while somebody waits for room
        self.is_behind = False  # the reader is slower than what comes: only what matters should be put in now

    def put(self, piece: bytes) -> None:
        """A frame, or some that belong together."""
        if self._is_closed:
            return
        if self._pieces is None:
            self._pieces = [piece]
        else:
            self._pieces.append(piece)
        self._bytes += len(piece)
        if self.is_behind:
            if len(self._pieces) > MOST_FRAMES or self._bytes > MOST_BYTES:
                self.close()
                self._overflow()
        elif self._bytes > SMALL or len(self._pieces) >= MOST_FRAMES:
            self.flush()
        elif not self._is_due:
            self._is_due = True
            self._post.collect(self)

    def flush(self) -> None:
        """Everything in one write, unless the reader is behind."""
        self._is_due = False
        pieces = self._pieces
        if pieces is None or self.is_behind:
            return
        self._pieces, self._bytes = None, 0
        if not self._transport.is_closing():
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def pause(self) -> None:
        """The transport has more than it can send."""
        self.is_behind = True

    def resume(self) -> None:
        self.is_behind = False
        while self._pieces and not self.is_behind:  # a write may end in `pause`
            piece = self._pieces.pop(0)
            self._bytes -= len(piece)
            self._transport.write(piece)
        if not self._pieces:
            self._pieces = None
        if not self.is_behind:
            self._wake()

    async def room(self) -> None:
        """For who pulls (a replay): wait until what was put is on its way."""
        self.flush()
        while self.is_behind and not self._is_closed:
            if self._drained is None:
                self._drained = self._post.loop.create_future()
            await self._drained

    def close(self) -> None:
        """What was put in this turn still leaves; what waits behind a slow reader does not, and nothing comes after."""
        self.flush()
        self._is_closed = True
        self._pieces, self._bytes = None, 0
        self._wake()

    def _wake(self) -> None:
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None
