"""One of the processes of a machine writes for all of them, so that they share its commits and hear of them at once.

It is only a shorter way. Every process can write by itself at any time, and does so whenever it is in doubt: nobody
else writes, the connection is cut, the writer is silent. A draft that was handed over before is then written a second
time, which its key makes harmless.

The writer either gives a draft its verdict or ends the connection: what it has not answered by then it does not begin
to write any more, so two drafts of one sender never change their order.

Nothing here knows what a draft contains: a courier packs it.
"""

import asyncio
import fcntl
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec

import messenger
from messenger.db.connection import ConnectionLost, ReconnectingConnection
from messenger.log.appender import PATIENCE, Appender, Queued
from messenger.log.entries import Entry
from messenger.log.log import Log

log = logging.getLogger(__name__)

SILENCE = 0.25  # a writer that owes verdicts and gives none for so long is in doubt
RETRY = 0.05  # before another try to become the writer or to reach it
PAUSE = 60.0  # after what another try will hardly change
LOOK = 1.0  # seconds between two looks whether the others still find the writer
MOST_UNREAD = 16 << 20  # bytes that another process lets lie; more of them end its connection
SIZE = 4  # bytes of a frame's length
ORIGIN = "select log_origin() as origin"

D = TypeVar("D", bound=Queued)
ENCODE = msgspec.msgpack.Encoder().encode
NO_ENTRIES = msgspec.Raw(ENCODE([]))


class Courier(Protocol[D]):
    """The owner of the drafts, when they leave the process."""

    packed: Any  # the type of a packed draft
    verdict: Any  # the type of a packed verdict

    def pack(self, draft: D) -> Any: ...

    def unpack(self, packed: Any, answer: Callable[[Any], None]) -> D:
        """In the writer. Its answer is a verdict that has to be packed."""

    def pack_verdict(self, verdict: Any) -> Any:
        """None: it decides nothing, and the process that the draft came from shall write it by itself."""

    def settle(self, draft: D, verdict: Any) -> None:
        """Gives the draft its packed verdict, unless it is answered."""

    def awaits(self, entry: Entry) -> bool:
        """Is this the entry of a draft of this process that is not answered yet?"""


class Frames(asyncio.Protocol):
    """A connection between two processes that carries frames: a length, then so many bytes."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._unread = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        unread, at = self._unread, 0
        unread += data
        while len(unread) >= (begin := at + SIZE):
            end = begin + int.from_bytes(unread[at:begin])
            if len(unread) < end:
                break
            try:
                self.hear(bytes(unread[begin:end]))
            except Exception:
                log.exception("a frame of another process cannot be read")
                return self.end()
            at = end
        del unread[:at]
        return None

    def say(self, frame: bytes) -> None:
        self.transport.write(len(frame).to_bytes(SIZE) + frame)

    def end(self) -> None:
        self.transport.abort()

    def hear(self, frame: bytes) -> None:
        raise NotImplementedError  # the two ends hear different frames


class Guest(Frames, Generic[D]):
    """In the writer: another process, whose drafts it writes while it is among the guests."""

    def __init__(self, relay: "Relay[D]") -> None:
        super().__init__()
        self._relay = relay
        self._decode = msgspec.msgpack.Decoder(tuple[float, list[tuple[int, relay.courier.packed]]]).decode  # type: ignore[name-defined]
        self._drafts: dict[int, D] = {}  # by the numbers that the other process gave them
        self._verdicts: list[tuple[int, Any]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._relay.guests.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.end()

    def hear(self, frame: bytes) -> None:
        relay = self._relay
        handed_at, drafts = self._decode(frame)
        if relay.loop.time() - handed_at > PATIENCE:  # this process stood still, and they are refused already
            self.end()
            return
        for number, packed in drafts:
            if self not in relay.guests:
                return
            draft = relay.courier.unpack(packed, partial(self._answer, number))
            draft.is_borrowed = True
            self._drafts[number] = draft
            relay.appender.submit(draft)

    def _answer(self, number: int, verdict: Any) -> None:
        self._drafts.pop(number, None)
        packed = self._relay.courier.pack_verdict(verdict)
        if packed is None:
            self.end()
            return
        if not self._verdicts:
            self._relay.loop.call_soon(self._flush)
        self._verdicts.append((number, packed))

    def _flush(self) -> None:
        if self._verdicts:
            self.tell("", NO_ENTRIES)

    def tell(self, epoch: str, entries: msgspec.Raw) -> None:
        """Verdicts go before the entries of their drafts."""
        if self in self._relay.guests:
            verdicts, self._verdicts = self._verdicts, []
            self.say(ENCODE((verdicts, epoch, entries)))
            if self.transport.get_write_buffer_size() > MOST_UNREAD:
                self.end()

    def end(self) -> None:
        """What is not under way by now is not written here any more."""
        if self not in self._relay.guests:
            return
        self._relay.guests.remove(self)
        super().end()
        for draft in self._drafts.values():
            draft.is_answered = True
        self._relay.appender.drop_answered()


class Writer(Frames, Generic[D]):
    """In another process: the one that writes for it."""

    def __init__(self, relay: "Relay[D]") -> None:
        super().__init__()
        self._relay = relay
        self._decode = msgspec.msgpack.Decoder(
            tuple[list[tuple[int, relay.courier.verdict]], str, list[Entry]]  # type: ignore[name-defined]
        ).decode
        self._numbers = count()
        self.handed: dict[int, D] = {}
        self._heard_at = 0.0
        self._is_silent = False
        self._timer: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[None] = relay.loop.create_future()

    def take(self, drafts: Sequence[D]) -> bool:
        """Hands them over, unless the writer is in doubt."""
        if self._is_silent or self.transport.is_closing():
            return False
        now = self._relay.loop.time()
        numbered = dict(zip(self._numbers, drafts, strict=False))
        frame = ENCODE((now, [(number, self._relay.courier.pack(draft)) for number, draft in numbered.items()]))
        if not self.handed:
            self._heard_at = now
        self.handed |= numbered
        if self._timer is None:
            self._timer = self._relay.loop.call_at(now + SILENCE, self._check_silence)
        self.say(frame)
        return True

    def hear(self, frame: bytes) -> None:
        verdicts, epoch, told = self._decode(frame)
        self._heard_at = self._relay.loop.time()
        self._is_silent = False
        for number, verdict in verdicts:
            draft = self.handed.pop(number, None)
            if draft is not None:  # else it was given back, and is answered by another way
                self._relay.courier.settle(draft, verdict)
        if told:
            self._relay.publish(told, epoch)

    def _check_silence(self) -> None:
        """By one timer for all drafts: four times a second while some are under way."""
        loop, self._timer = self._relay.loop, None
        if self.handed and loop.time() - self._heard_at >= SILENCE:
            self._is_silent = True
            self.give_back()
        if self.handed:
            self._timer = loop.call_at(self._heard_at + SILENCE, self._check_silence)

    def give_back(self) -> None:
        """What was handed over may be stored or not: this process writes it as well."""
        drafts = [draft for draft in self.handed.values() if not draft.is_answered]
        for draft in drafts:
            draft.is_uncertain = True
        self.handed.clear()
        if drafts:
            self._relay.appender.write_again(drafts)

    def connection_lost(self, error: Exception | None) -> None:
        self.end()
        if not self.lost.done():
            self.lost.set_result(None)

    def end(self) -> None:
        super().end()
        if self._timer is not None:
            self._timer.cancel()
        self.give_back()


class Relay(Generic[D]):
    """The part that this process takes, and all it needs for it."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, folder: Path, dsn: str, courier: Courier[D], appender: Appender[D], stream: Log) -> None:
        self._folder = folder
        self._dsn = dsn
        self.courier = courier
        self.appender = appender
        self._stream = stream
        self.guests: set[Guest[D]] = set()
        self.writer: Writer[D] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.appender.shortcut = self
        self._stream.on_commit = self.tell
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """The others write by themselves until one of them is the next writer."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    # --- called by the appender and the log

    def take(self, drafts: deque[D]) -> bool:
        """Hands over what waits. What may be stored already, or was refused in a batch, this process writes itself."""
        writer, first = self.writer, drafts[0]
        if writer is None:
            return False
        try:
            is_taken = not (first.is_uncertain or first.goes_alone) and writer.take(drafts)
        except Exception:
            log.exception("drafts cannot be handed over")
            is_taken = False
        if is_taken:
            drafts.clear()
        else:
            writer.give_back()  # what this process writes itself must not overtake it
        return is_taken

    def handed(self) -> Sequence[D]:
        return tuple(self.writer.handed.values()) if self.writer is not None else ()

    def tell(self, entries: Sequence[Entry], epoch: str) -> int:
        """Own entries, to the other processes. Returns how many those are."""
        if self.guests and entries:
            raw = msgspec.Raw(ENCODE([entry.told for entry in entries]))
            for guest in tuple(self.guests):
                guest.tell(epoch, raw)
        return len(self.guests)

    # --- called by the writer's connection

    def publish(self, told: Sequence[Entry], epoch: str) -> None:
        """What a draft of this process became is read from the database instead: there its answer is waited for."""
        known = [entry for entry in told if not self.courier.awaits(entry)]
        self._stream.followed(known, epoch, told[-1].position)

    # --- the election

    async def _run(self) -> None:
        path = None
        while True:
            try:
                path = path or await self._place()
                await self._take_part(path)
            except (ConnectionError, FileNotFoundError, ConnectionLost):
                pass  # the next writer does not listen yet, or the database is away
            except Exception:
                log.exception("this process writes by itself, for it cannot take part in the relay")
                await asyncio.sleep(PAUSE)
            await asyncio.sleep(RETRY)

    async def _place(self) -> Path:
        """Other versions of the program, and other databases, meet elsewhere."""
        connection = ReconnectingConnection(self._dsn)
        try:
            origin = (await connection.row(ORIGIN))["origin"]
        finally:
            connection.close()
        name = sha256(f"{messenger.__version__} {self._dsn} {origin.rpartition('/')[0]}".encode()).hexdigest()[:8]
        return self._folder / f"writer-{name}"

    async def _take_part(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if is_locked_by_us(lock):
                await self._write_for_others(
                    path.with_suffix(".socket"), lambda: is_file(lock, path.with_suffix(".lock"))
                )
            else:
                await self._let_write(path.with_suffix(".socket"))
        finally:
            os.close(lock)

    async def _write_for_others(self, path: Path, is_elected: Callable[[], bool]) -> None:
        """As long as the others find this process."""
        path.unlink(missing_ok=True)
        server = await self.loop.create_unix_server(lambda: Guest(self), str(path))
        try:
            path.chmod(0o600)
            log.info("this process writes for the others of this machine socket=%s", path)
            while path.is_socket() and is_elected():
                await asyncio.sleep(LOOK)
        finally:
            server.close()
            for guest in tuple(self.guests):
                guest.end()

    async def _let_write(self, path: Path) -> None:
        _, writer = await self.loop.create_unix_connection(lambda: Writer(self), str(path))
        self.writer = writer
        try:
            await writer.lost
        finally:
            self.writer = None
            writer.end()


def is_locked_by_us(file: int) -> bool:
    """The kernel gives it back when this process ends, however it ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_file(opened: int, path: Path) -> bool:
    """Nobody has removed or replaced it."""
    try:
        return os.path.samestat(os.fstat(opened), path.stat())
    except FileNotFoundError:
        return False
