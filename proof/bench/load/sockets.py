"""Opening many sockets, and what every listener on one does: keep half a frame, answer a ping."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from proof.lab import frames

WAVE = 50  # sockets that are opened at the same time
OPENING = 60.0
AGAIN = 0.5
SWITCHING, UNAVAILABLE = b"101", b"503"


class Busy(ConnectionError):
    """The server asks to come back in a moment."""


class Socket(asyncio.Protocol):
    """One signed-in socket after its greeting. Subclasses say what a frame means to them."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.rest = b""
        self.is_lost = False

    def hear(self, data: bytes, start: int, end: int) -> None:
        """A text frame: its payload is data[start:end]."""

    def take(self, data: bytes) -> None:
        if self.rest:
            data = self.rest + data
            self.rest = b""
        at = 0
        while (span := frames.payload(data, at)) is not None:
            start, end = span
            if data[at] == frames.TEXT:
                self.hear(data, start, end)
            elif data[at] == frames.PING:
                self.transport.write(frames.EMPTY_PONG)
            at = end
        if at < len(data):
            self.rest = data[at:]

    data_received = take

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True


S = TypeVar("S", bound=Socket)


class Opening(asyncio.Protocol):
    """The handshake and the greeting; then the transport is handed on."""

    def __init__(self, request: bytes, socket: Socket, last_greeting: bytes) -> None:
        self._request = request
        self._socket = socket
        self._last_greeting = last_greeting
        self._data = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket.transport = cast(asyncio.Transport, transport)
        self._socket.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, line, rest = self._data.partition(b"\r\n\r\n")
        if not line:
            return
        status = head[len("HTTP/1.1 ") :].partition(b" ")[0]
        if status != SWITCHING:
            kind = Busy if status == UNAVAILABLE else ConnectionError
            self._fail(kind(self._data[:400].decode(errors="replace")))
            return
        at = 0
        greeted = not self._last_greeting
        while not greeted and (span := frames.payload(rest, at)) is not None:
            greeted = rest.startswith(self._last_greeting, span[0])
            at = span[1]
        if greeted and not self.opened.done():
            self._socket.transport.set_protocol(self._socket)
            self.opened.set_result(None)
            if at < len(rest):
                self._socket.take(rest[at:])

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or ConnectionError("closed before it was open"))

    def _fail(self, error: Exception) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)


READY = b'{"type":"ready"'


async def open_all(
    spec: dict[str, Any], tokens: Sequence[str], make: Callable[[int], S], *, path: str = "/v1/ws",
    last_greeting: bytes = READY,
) -> list[S]:  # fmt: skip
    """In waves, so that the server's backlog does not decide anything."""
    loop = asyncio.get_running_loop()

    async def open_one(number: int) -> S:
        while True:
            socket = make(number)
            opening = Opening(frames.upgrade(path, tokens[number]), socket, last_greeting)
            await loop.create_connection(lambda opening=opening: opening, spec["host"], spec["port"])  # type: ignore[misc]
            try:
                await opening.opened
            except Busy:  # opening is not what is measured, so it is done as a client does it
                await asyncio.sleep(AGAIN)
            else:
                return socket

    opened: list[S] = []
    async with asyncio.timeout(OPENING):
        for wave in range(0, len(tokens), WAVE):
            numbers = range(wave, min(wave + WAVE, len(tokens)))
            opened += await asyncio.gather(*(open_one(number) for number in numbers))
    return opened
