"""What wires have in common: what waits to be sent, in which order, and a new connection after a failure."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

MOST_NOTES = 1000
RETRY = 0.25
Work = Callable[[], Awaitable[None]]
Works = tuple[Work, ...]
RING, NOTE = b"r", b"n"  # the first byte of a message
EVERYBODY = 1 << 30


class RetryingWire:
    """Repeats its work after each failure of the service."""

    failures: tuple[type[Exception], ...]  # what its driver raises when the service is away

    def __init__(self) -> None:
        self.rung = 0
        self.heard = 0
        self._furthest = 0
        self._rung = 0
        self._told = EVERYBODY  # so many at least know all that waits to be rung
        self._notes: deque[bytes] = deque(maxlen=MOST_NOTES)
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._on_ring: Callable[[int], None] = lambda position: None
        self._on_note: Callable[[bytes], None] = lambda note: None

    async def start(self, ring: Callable[[int], None], note: Callable[[bytes], None]) -> None:
        self._on_ring, self._on_note = ring, note
        self._tasks = [asyncio.create_task(self._keep(work)) for work in self._works()]

    def ring(self, position: int, told: int = 0) -> None:
        self._furthest = max(self._furthest, position)
        self._told = min(self._told, told)
        self._news.set()

    def say(self, note: bytes) -> None:
        self._notes.append(note)
        self._news.set()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _works(self) -> Works:
        """Coroutines that run as long as the connection holds."""
        raise NotImplementedError

    async def _keep(self, work: Work) -> None:
        while True:
            try:
                await work()
            except self.failures as error:
                log.warning("the wire is cut and will be mended: %s", error)
            await asyncio.sleep(RETRY)

    async def _send_waiting(self, publish: Callable[[bytes], Awaitable[None]]) -> None:
        """Sends all that waits. Doorbells go before notes: events wait for them, and notes are only typing."""
        while True:
            if self._furthest > self._rung:
                furthest = self._furthest
                self.rung += 1
                await publish(RING + b"%d" % furthest)
                self._rung = furthest
            elif self._notes:
                await publish(NOTE + self._notes.popleft())
            else:
                return

    def _hear(self, message: bytes) -> None:
        if message.startswith(NOTE):
            self._on_note(message[1:])
        elif message[1:].isdigit():
            self.heard += 1
            self._on_ring(int(message[1:]))
