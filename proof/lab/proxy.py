"""A TCP proxy with moods: it delays, cuts, goes silent, or swallows what the server answers.

Bytes are never reordered; a connection that has lost some is cut when the mood is over. What one kind of connection
says can be dropped message by message, so that only doorbells are lost.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Self, cast

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on close there is a reset and no goodbye
HIGH_WATER = 1 << 20


class Mood(Enum):
    OPEN = auto()
    SILENT = auto()  # nothing passes, in either direction
    SWALLOWING = auto()  # what is asked passes, what is answered does not


class Dropper:
    """Drops some messages of one connection, whole ones only. `forth`: what goes to the server, and our own answer."""

    def forth(self, data: bytes, dropping: bool) -> tuple[bytes, bytes]:
        return data, b""

    def back(self, data: bytes, dropping: bool) -> bytes:
        return data

    dropped: int = 0


class Side(asyncio.Protocol):
    """One end of a connection through the proxy."""

    def __init__(self, passing: "Passing") -> None:
        self.passing = passing
        self.has_hole = False  # something that came from here was not passed on
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(HIGH_WATER)
        if self.passing.is_over:  # before it was here
            self.reset()

    def data_received(self, data: bytes) -> None:
        self.passing.heard(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.passing.lost(self)

    def pause_writing(self) -> None:
        self.passing.other(self).reading(False)

    def resume_writing(self) -> None:
        self.passing.other(self).reading(True)

    def reading(self, wanted: bool) -> None:
        if self.transport is not None and not self.transport.is_closing():
            with suppress(RuntimeError):  # it is in that state already
                self.transport.resume_reading() if wanted else self.transport.pause_reading()

    def write(self, data: bytes) -> None:
        if data and self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def reset(self) -> None:
        if self.transport is not None:
            wire = self.transport.get_extra_info("socket")
            with suppress(OSError):
                if wire is not None and wire.family != socket.AF_UNIX:
                    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()


class Passing:
    """One connection: a client, a server, and what is on its way between them."""

    def __init__(self, proxy: "Proxy") -> None:
        self.proxy = proxy
        self.client = Side(self)
        self.server = Side(self)
        self.dropper = proxy.make_dropper()
        self.has_lost = False
        self._early: list[bytes] = []  # from the client, while the server's end is being opened
        self._late: deque[tuple[float, Side, bytes | None]] = deque()  # None: the end
        self._timer: asyncio.TimerHandle | None = None
        self.is_over = False

    def other(self, side: Side) -> Side:
        return self.server if side is self.client else self.client

    async def open(self) -> None:
        try:
            await self.proxy.connect(lambda: self.server)
        except OSError:
            self.reset()
            return
        if self.is_over:
            return
        early, self._early = self._early, []
        for data in early:
            self.heard(self.client, data)

    def heard(self, side: Side, data: bytes) -> None:
        proxy = self.proxy
        if side is self.client and self.server.transport is None:
            self._early.append(data)
        elif proxy.mood is Mood.SILENT or (proxy.mood is Mood.SWALLOWING and side is self.server):
            self.has_lost = side.has_hole = True
        elif side.has_hole:
            return  # what comes after a hole would be nonsense; the cut is near
        elif self.dropper is not None:
            self._pass_dropping(side, data)
        else:
            self._pass(self.other(side), data)

    def _pass_dropping(self, side: Side, data: bytes) -> None:
        assert self.dropper is not None
        before = self.dropper.dropped
        if side is self.client:
            data, answer = self.dropper.forth(data, self.proxy.is_dropping)
            self._pass(self.client, answer)
        else:
            data = self.dropper.back(data, self.proxy.is_dropping)
        self.proxy.dropped += self.dropper.dropped - before
        self._pass(self.other(side), data)

    def _pass(self, to: Side, data: bytes | None) -> None:
        if self._late or self.proxy.delay:
            loop = asyncio.get_running_loop()
            due = loop.time() + self.proxy.delay
            if self._late:
                due = max(due, self._late[-1][0])
            self._late.append((due, to, data))
            if self._timer is None:
                self._timer = loop.call_at(due, self._deliver)
        elif data is None:
            self.reset()
        else:
            to.write(data)

    def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._late and self._late[0][0] <= loop.time() + 0.001:
            _, to, data = self._late.popleft()
            if data is None:
                self.reset()
                return
            to.write(data)
        if self._late:
            self._timer = loop.call_at(self._late[0][0], self._deliver)

    def lost(self, side: Side) -> None:
        """One end is gone. In silence the other does not hear of it before the silence is over."""
        if self.is_over:
            return
        if self.proxy.mood is Mood.OPEN and not self.has_lost:
            other = self.other(side)
            if self._late:
                self._pass(other, None)
                return
            self.is_over = True
            self.proxy.passings.discard(self)
            if other.transport is not None:
                other.transport.close()  # what was written before still arrives
        else:
            self.has_lost = True

    def reset(self) -> None:
        self.is_over = True
        self.proxy.passings.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._late.clear()
        self.client.reset()
        self.server.reset()


class Proxy:
    """Listens on a port of its own and passes everything on to where `connect` leads."""

    def __init__(
        self,
        connect: Callable[[Callable[[], Side]], "asyncio.Future[object]"],
        make_dropper: Callable[[], Dropper | None] = lambda: None,
        *,
        number: int = 0,
    ) -> None:
        self.number = number  # of the process behind it
        self.connect = connect
        self.make_dropper = make_dropper
        self.mood = Mood.OPEN
        self.delay = 0.0
        self.is_dropping = False
        self.dropped = 0
        self.passings: set[Passing] = set()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._opening: set[asyncio.Task[None]] = set()

    async def start(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", 0, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> Side:
        passing = Passing(self)
        self.passings.add(passing)
        task = asyncio.get_running_loop().create_task(passing.open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return passing.client

    def cut(self, *, only_lossy: bool = False) -> int:
        """Reset the connections; how many it were."""
        chosen = [one for one in self.passings if one.has_lost or not only_lossy]
        for one in chosen:
            one.reset()
        return len(chosen)

    async def in_mood(self, mood: Mood, seconds: float) -> int:
        """For so long; connections that lost bytes by it are cut at its end."""
        self.mood = mood
        try:
            await asyncio.sleep(seconds)
        finally:
            self.mood = Mood.OPEN
            cut = self.cut(only_lossy=True)
        return cut

    async def slowly(self, delay: float, seconds: float) -> None:
        self.delay = delay
        try:
            await asyncio.sleep(seconds)
        finally:
            self.delay = 0.0

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)


def to_port(port: int) -> Callable[[Callable[[], Side]], "asyncio.Future[object]"]:
    return lambda make: asyncio.get_running_loop().create_connection(make, "127.0.0.1", port)  # type: ignore[return-value]


def to_file(path: str) -> Callable[[Callable[[], Side]], "asyncio.Future[object]"]:
    return lambda make: asyncio.get_running_loop().create_unix_connection(make, path)  # type: ignore[return-value]


class RedisPublishes(Dropper):
    """Swallows PUBLISH and answers that nobody was listening, as a Redis does whose listeners are all away."""

    def __init__(self) -> None:
        self._rest = b""

    def forth(self, data: bytes, dropping: bool) -> tuple[bytes, bytes]:
        data, passed, answer, at = self._rest + data, [], b"", 0
        while (end := self._command(data, at)) is not None:
            if dropping and data[at:end].partition(b"$7\r\n")[2][:7].upper() == b"PUBLISH":
                self.dropped += 1
                answer += b":0\r\n"
            else:
                passed.append(data[at:end])
            at = end
        self._rest = data[at:]
        return b"".join(passed), answer

    @staticmethod
    def _command(data: bytes, at: int) -> int | None:
        """Where the command that begins here ends; None: it is not whole yet."""
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        for _ in range(int(data[at + 1 : end])):
            start = end + 2
            end = data.find(b"\r\n", start)
            if end < 0:
                return None
            end += 2 + int(data[start + 1 : end])
            if len(data) < end + 2:
                return None
        return end + 2


class PostgresNotifications(Dropper):
    """Swallows what LISTEN would bring, on the connections of the wire alone."""

    def __init__(self) -> None:
        self._is_wire: bool | None = None
        self._rest = b""

    def forth(self, data: bytes, dropping: bool) -> tuple[bytes, bytes]:
        if self._is_wire is None:
            self._is_wire = b"messenger wire\0" in data
        return data, b""

    def back(self, data: bytes, dropping: bool) -> bytes:
        if not self._is_wire:
            return data
        data, passed, at = self._rest + data, [], 0
        while len(data) - at >= 5:
            end = at + 1 + int.from_bytes(data[at + 1 : at + 5], "big")
            if end > len(data):
                break
            if dropping and data[at : at + 1] == b"A":
                self.dropped += 1
            else:
                passed.append(data[at:end])
            at = end
        self._rest = data[at:]
        return b"".join(passed)
