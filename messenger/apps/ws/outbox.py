"""What one socket still has to be sent. Nobody who puts something in ever waits.

While the transport's buffer is small a frame goes straight to it. Behind a slow reader frames gather here, bounded in
number and bytes, with one writer; past the bound the socket is given up, so that others do not feel it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

MOST_FRAMES = 256
MOST_BYTES = 1 << 20
SMALL = 1 << 16  # the mark above which asyncio and uvloop ask to pause


class Outbox:
    def __init__(
        self, transport: asyncio.WriteTransport, drained: Callable[[], Awaitable[None]], overflow: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._drained = drained
        self._overflow = overflow
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._empty = asyncio.Event()
        self._empty.set()
        self._is_closed = False

    @property
    def is_behind(self) -> bool:
        """The reader is slower than what comes: only what matters should be put in now."""
        return bool(self._frames) or self._transport.get_write_buffer_size() > SMALL

    def put(self, frame: bytes) -> None:
        if self._is_closed or self._transport.is_closing():
            return
        if not self.is_behind:
            self._transport.write(frame)
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        if len(self._frames) > MOST_FRAMES or self._bytes > MOST_BYTES:
            self.close()
            self._overflow()
        elif self._writer is None or self._writer.done():
            self._empty.clear()
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def room(self) -> None:
        """For who pulls (a replay): wait until what was put is on its way."""
        await self._empty.wait()
        if not self._is_closed:
            await self._drained()

    def close(self) -> None:
        """From now on nothing more goes out, not even what waits."""
        self._is_closed = True
        self._frames.clear()
        self._empty.set()
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
            self._empty.set()

    def _write_next(self) -> None:
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        self._transport.write(frame)
