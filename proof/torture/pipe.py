"""A WebSocket with many frames under way, written at once, nothing awaited."""

import asyncio
from collections.abc import Callable
from typing import cast

from proof.lab import frames

OPEN_PATIENCE = 3.0


class NotOpened(OSError):
    """The server did not upgrade."""

    def __init__(self, status: int) -> None:
        super().__init__(f"no upgrade: {status}")
        self.status = status


class Pipe(asyncio.Protocol):
    def __init__(self, request: bytes, hear: Callable[[bytes], None]) -> None:
        self._request = request
        self._hear = hear
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.why = "cut"  # how it ended: a close code, or nothing was said

    @classmethod
    async def open(cls, port: int, path: str, session_id: str, hear: Callable[[bytes], None]) -> "Pipe":
        request = frames.upgrade(path, session_id, protocol="messenger.v1")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(OPEN_PATIENCE):
            _, pipe = await loop.create_connection(lambda: cls(request, hear), "127.0.0.1", port)
            try:
                await pipe.opened
            except BaseException:
                pipe.abort("never opened")
                raise
        return pipe

    def say(self, payload: bytes) -> None:
        if self._transport is not None and not self.ended.is_set():
            self._transport.write(frames.masked(payload))

    def abort(self, why: str) -> None:
        """Without a goodbye."""
        if not self.ended.is_set():
            self.why = why
            self.ended.set()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("cut before the upgrade"))
            self.opened.exception()  # read once here: a caller that gave up waiting never reads it
        self.ended.set()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self.opened.done():
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self.opened.set_exception(NotOpened(int(head[9:12])))
                self.opened.exception()
                return
            self.opened.set_result(None)
        self._rest = self._frames(data)

    def _frames(self, data: bytes) -> bytes:
        """Hear every whole frame; what is left is the beginning of the next."""
        at = 0
        while (span := frames.payload(data, at)) is not None:
            opcode, payload, at = data[at], data[slice(*span)], span[1]
            if self.ended.is_set():
                return b""
            if opcode == frames.TEXT:
                self._hear(payload)
            elif opcode == frames.PING and self._transport is not None:
                self._transport.write(frames.masked(payload, frames.PONG))
            elif opcode == frames.CLOSE:
                self.abort(str(int.from_bytes(payload[:2], "big")) if len(payload) >= 2 else "1005")
        return data[at:]
