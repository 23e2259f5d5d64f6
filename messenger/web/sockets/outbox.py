"""What one socket still has to be sent. Nobody who puts something in ever waits.

What is put in one turn of the loop leaves together at its end, in one write: the kernel's part of a delivery costs more
than ours. Behind a slow reader frames gather here, bounded in number and bytes, with one writer; past the bound the
socket is given up, so that others do not feel it.
"""

import asyncio
from collections.abc import Awaitable, Callable

MOST_FRAMES = 256
MOST_BYTES = 1 << 20
SMALL = 1 << 16  # the mark above which asyncio and uvloop ask to pause


class Post:
    """The outboxes of a process that have something to send in this turn: one call at its end for all of them."""

    def __init__(self) -> None:
        self._due: list[Outbox] = []

    def collect(self, outbox: "Outbox") -> None:
        if not self._due:
            asyncio.get_running_loop().call_soon(self._deliver)
        self._due.append(outbox)

    def _deliver(self) -> None:
        due, self._due = self._due, []
        for outbox in due:
            outbox.flush()


class Outbox:
    # Most sockets are idle most of the time: what one needs only when something happens is made then.
    __slots__ = (
        "_bytes", "_drained", "_frames", "_is_closed", "_is_due", "_overflow", "_post", "_transport", "_writer"
    )  # fmt: skip

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        post: Post,
        drained: Callable[[], Awaitable[None]],
        overflow: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._post = post
        self._drained = drained
        self._overflow = overflow
        self._frames: list[bytes] = []
        self._bytes = 0
        self._is_due = False  # waits for the end of this turn only
        self._writer: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def is_behind(self) -> bool:
        """The reader is slower than what comes: only what matters should be put in now."""
        return self._writer is not None or self._transport.get_write_buffer_size() > SMALL

    def put(self, frame: bytes) -> None:
        if self._is_closed or self._transport.is_closing():
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        if self._writer is not None:
            if len(self._frames) > MOST_FRAMES or self._bytes > MOST_BYTES:
                self.close()
                self._overflow()
        elif self._bytes > SMALL or len(self._frames) >= MOST_FRAMES:
            self.flush()
        elif not self._is_due:
            self._is_due = True
            self._post.collect(self)

    def flush(self) -> None:
        """Everything in one write, unless the reader is behind."""
        self._is_due = False
        if not self._frames or self._writer is not None:
            return
        if self._transport.get_write_buffer_size() > SMALL:
            self._writer = asyncio.get_running_loop().create_task(self._write())
            return
        frames, self._frames = self._frames, []
        self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))
        self._bytes = 0

    async def room(self) -> None:
        """For who pulls (a replay): wait until what was put is on its way."""
        self.flush()
        if self._writer is not None:
            await asyncio.wait({self._writer})
        if not self._is_closed:
            await self._drained()

    def close(self) -> None:
        """What was put in this turn still leaves; what waits behind a slow reader does not, and nothing comes after."""
        if not self._is_closed and not self._transport.is_closing():
            self.flush()
        self._is_closed = True
        self._frames.clear()
        self._bytes = 0
        if self._writer is not None:
            self._writer.cancel()

    async def _write(self) -> None:
        try:
            while self._frames:
                await self._drained()
                self._write_next()  # one at least: the transport says when, its marks are its own
                while self._frames and self._transport.get_write_buffer_size() <= SMALL:
                    self._write_next()
        except ConnectionError:
            self.close()  # the reader of the socket notices by itself
        finally:
            self._writer = None

    def _write_next(self) -> None:
        frame = self._frames.pop(0)
        self._bytes -= len(frame)
        self._transport.write(frame)
