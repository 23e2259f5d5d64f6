"""Doorbells by LISTEN and NOTIFY: no further service, one notification for all that gathered meanwhile.

Rung after the commit, in a transaction of its own: PostgreSQL takes a lock over the whole cluster for commits that
notify, and the hot path must not wait for it.
"""

import asyncio
import base64
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import asyncpg

log = logging.getLogger(__name__)

CHANNEL = "messenger_log"
LONGEST_NOTE = 5000  # a payload stays below PostgreSQL's 8,000 bytes, base64 included
MOST_NOTES = 1000
RETRY = 0.25
LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class PostgresWire:
    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.rung = 0
        self.heard = 0
        self._furthest = 0
        self._rung = 0
        self._notes: deque[bytes] = deque(maxlen=MOST_NOTES)
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._on_ring: Callable[[int], None] = lambda position: None
        self._on_note: Callable[[bytes], None] = lambda note: None
        self._own = 0  # the backend that speaks for us: its notifications are no news here

    async def start(self, ring: Callable[[int], None], note: Callable[[bytes], None]) -> None:
        self._on_ring, self._on_note = ring, note
        self._task = asyncio.create_task(self._run())

    def ring(self, position: int) -> None:
        self._furthest = max(self._furthest, position)
        self._news.set()

    def say(self, note: bytes) -> None:
        if len(note) <= LONGEST_NOTE:
            self._notes.append(note)
            self._news.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            connection: asyncpg.Connection | None = None
            try:
                connection = await asyncpg.connect(
                    self._dsn, timeout=2, server_settings={"application_name": "messenger wire"}
                )
                self._own = connection.get_server_pid()
                await connection.add_listener(CHANNEL, self._heard)
                self._on_ring(0)  # what was rung while nobody listened is lost: look for yourself
                await self._speak(connection)
            except LOST as error:
                log.warning("the wire is cut and will be mended: %s", error)
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(RETRY)

    async def _speak(self, connection: asyncpg.Connection) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):  # a listener whose server is gone would wait for ever
                    await self._news.wait()
            if connection.is_closed():
                raise asyncpg.InterfaceError("the connection is closed")
            self._news.clear()
            if self._furthest > self._rung:
                furthest = self._furthest
                self.rung += 1
                await connection.execute("select pg_notify($1, $2)", CHANNEL, str(furthest), timeout=2)
                self._rung = furthest
            while self._notes:
                note = base64.b64encode(self._notes.popleft()).decode()
                await connection.execute("select pg_notify($1, $2)", CHANNEL, "n" + note, timeout=2)

    def _heard(self, connection: object, pid: int, channel: str, payload: str) -> None:
        if pid == self._own:
            return
        if payload.startswith("n"):
            self._on_note(base64.b64decode(payload[1:]))
        elif payload.isdigit():
            self.heard += 1
            self._on_ring(int(payload))
