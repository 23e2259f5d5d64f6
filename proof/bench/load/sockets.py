"""Opening many sockets, and what every listener on one does: keep half a frame, answer a ping."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from proof.bench.load.dialects import Dialect
from proof.lab import frames

WAVE = 50  # sockets that are opened at the same time
OPENING = 60.0
PER_SECOND = 25  # sockets that even a server on a busy machine opens
ONE_ADDRESS = 20_000  # sockets that come from one address: ports end
AGAIN = 0.5
SWITCHING, UNAVAILABLE = b"101", b"503"


class Busy(ConnectionError):
    """The server asks to come back in a moment."""


class Socket(asyncio.Protocol):
    """One signed-in socket after its greeting. Subclasses say what a frame means to them."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
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
            if not self.is_ping(data, at, start, end) and data[at] == frames.TEXT:
                self.hear(data, start, end)
            at = end
        if at < len(data):
            self.rest = data[at:]

    data_received = take

    def is_ping(self, data: bytes, at: int, start: int, end: int) -> bool:
        """A heartbeat is answered at once."""
        if data[at] == frames.PING:
            self.transport.write(frames.EMPTY_PONG)
        elif end - start == 1 and data.startswith(self.dialect.ping, start):
            self.transport.write(self.dialect.pong)
        else:
            return False
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True


S = TypeVar("S", bound=Socket)


class Opening(asyncio.Protocol):
    """The handshake and the greeting; then the transport is handed on."""

    def __init__(self, socket: Socket, token: str) -> None:
        self._socket = socket
        self._token = token
        self._data = b""
        self._is_upgraded = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket.transport = cast(asyncio.Transport, transport)
        self._socket.transport.write(self._socket.dialect.request(self._token))

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._is_upgraded and not self._upgrade():
            return
        dialect, at = self._socket.dialect, 0
        greeted = not dialect.greeting
        while not greeted and (span := frames.payload(self._data, at)) is not None:
            greeted = self._data.startswith(dialect.greeting, span[0])
            at = span[1]
        if greeted and not self.opened.done():
            self._socket.transport.set_protocol(self._socket)
            self.opened.set_result(None)
            if at < len(self._data):
                self._socket.take(self._data[at:])

    def _upgrade(self) -> bool:
        head, line, rest = self._data.partition(b"\r\n\r\n")
        if not line:
            return False
        status = head[len("HTTP/1.1 ") :].partition(b" ")[0]
        if status != SWITCHING:
            kind = Busy if status == UNAVAILABLE else ConnectionError
            self._fail(kind(self._data[:400].decode(errors="replace")))
            return False
        if words := self._socket.dialect.sign_in(self._token):
            self._socket.transport.write(words)
        self._is_upgraded, self._data = True, rest
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or ConnectionError(f"closed before it was open: {self._data[:400]!r}"))

    def _fail(self, error: Exception) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)


async def open_all(spec: dict[str, Any], tokens: Sequence[str], make: Callable[[int], S]) -> list[S]:
    """In waves, so that the server's backlog does not decide anything."""
    loop = asyncio.get_running_loop()

    async def open_one(number: int) -> S:
        address = (f"127.0.0.{1 + number // ONE_ADDRESS}", 0) if len(tokens) > ONE_ADDRESS else None
        while True:
            socket = make(number)
            opening = Opening(socket, tokens[number])
            await loop.create_connection(
                lambda opening=opening: opening,
                spec["host"], spec["port"], local_addr=address,
            )  # fmt: skip
            try:
                await opening.opened
            except Busy:  # opening is not what is measured, so it is done as a client does it
                await asyncio.sleep(AGAIN)
            else:
                return socket

    opened: list[S] = []
    async with asyncio.timeout(OPENING + len(tokens) / PER_SECOND):
        for wave in range(0, len(tokens), WAVE):
            numbers = range(wave, min(wave + WAVE, len(tokens)))
            opened += await asyncio.gather(*(open_one(number) for number in numbers))
    return opened
