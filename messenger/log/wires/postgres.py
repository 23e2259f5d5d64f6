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

from messenger.db.driver import FAILED, Connection, connect

log = logging.getLogger(__name__)

CHANNEL = "messenger_log"
LONGEST_NOTE = 5000  # a payload stays below PostgreSQL's 8,000 bytes, base64 included
MOST_NOTES = 1000
RETRY = 0.25
NAME = "messenger wire"
HELLO = "h"  # of one who has just begun to listen; whoever misses it counts in a second
CENSUS_EVERY = 1.0
CENSUS = """
    select count(*) from pg_stat_activity
     where application_name = $1 and datname = current_database() and pid <> pg_backend_pid()
"""


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
        self._has_company = True
        self._counted_at = 0.0
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
            connection: Connection | None = None
            try:
                connection = await connect(self._dsn, timeout=2, server_settings={"application_name": NAME})
                self._own = connection.get_server_pid()
                await connection.add_listener(CHANNEL, self._heard)
                await connection.execute("select pg_notify($1, $2)", CHANNEL, HELLO, timeout=2)
                self._on_ring(0)  # what was rung while nobody listened is lost: look for yourself
                await self._speak(connection)
            except FAILED as error:
                log.warning("the wire is cut and will be mended: %s", error)
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(RETRY)

    async def _speak(self, connection: Connection) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):  # a listener whose server is gone would wait for ever
                    await self._news.wait()
            if connection.is_closed():
                raise asyncpg.InterfaceError("the connection is closed")
            self._news.clear()
            if not await self._look_around(connection):
                self._rung = self._furthest
                self._notes.clear()
                continue
            if self._furthest > self._rung:
                furthest = self._furthest
                self.rung += 1
                await connection.execute("select pg_notify($1, $2)", CHANNEL, str(furthest), timeout=2)
                self._rung = furthest
            while self._notes:
                note = base64.b64encode(self._notes.popleft()).decode()
                await connection.execute("select pg_notify($1, $2)", CHANNEL, "n" + note, timeout=2)

    async def _look_around(self, connection: Connection) -> bool:
        """Is there anybody to ring? A notification for nobody would cost a tenth of all that a lone process does."""
        now = asyncio.get_running_loop().time()
        if now - self._counted_at >= CENSUS_EVERY:
            self._has_company = bool(await connection.fetchval(CENSUS, NAME, timeout=2))
            self._counted_at = now
        return self._has_company

    def _heard(self, connection: object, pid: int, channel: str, payload: str) -> None:
        if pid == self._own:
            return
        self._has_company = True
        if payload.startswith("n"):
            self._on_note(base64.b64decode(payload[1:]))
        elif payload.isdigit():
            self.heard += 1
            self._on_ring(int(payload))
