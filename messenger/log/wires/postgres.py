"""Doorbells by LISTEN and NOTIFY: no further service, one notification for all that gathered meanwhile.

Rung after the commit, in a transaction of its own: PostgreSQL takes a lock over the whole cluster for commits that
notify, and the hot path must not wait for it.
"""

import asyncio
import base64
from contextlib import suppress

import asyncpg

from messenger.db.driver import FAILED, Connection, connect
from messenger.log.wires.mended import NOTE, MendedWire, Works

CHANNEL = "messenger_log"
LONGEST_NOTE = 5000  # a payload stays below PostgreSQL's 8,000 bytes, base64 included
NAME = "messenger wire"
HELLO = "h"  # a process has just begun to listen; one that misses this counts again in a second
CENSUS_EVERY = 1.0
CENSUS = """
    select count(*) from pg_stat_activity
     where application_name = $1 and datname = current_database() and pid <> pg_backend_pid()
"""


class PostgresWire(MendedWire):
    failures = FAILED

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._dsn = dsn
        self._has_company = True
        self._counted_at = 0.0
        self._own = 0  # the backend that speaks for us: its notifications are no news here

    def say(self, note: bytes) -> None:
        if len(note) <= LONGEST_NOTE:
            super().say(note)

    def _works(self) -> Works:
        return (self._run,)

    async def _run(self) -> None:
        connection = await connect(self._dsn, timeout=2, server_settings={"application_name": NAME})
        try:
            self._own = connection.get_server_pid()
            await connection.add_listener(CHANNEL, self._notified)
            await self._notify(connection, HELLO)
            self._on_ring(0)  # what was rung while nobody listened is lost: look for yourself
            await self._speak(connection)
        finally:
            connection.terminate()

    async def _speak(self, connection: Connection) -> None:
        async def publish(told: bytes) -> None:
            text = NOTE + base64.b64encode(told[1:]) if told.startswith(NOTE) else told
            await self._notify(connection, text.decode())

        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):  # a listener whose server is gone would wait for ever
                    await self._news.wait()
            if connection.is_closed():
                raise asyncpg.InterfaceError("the connection is closed")
            self._news.clear()
            if await self._look_around(connection):
                await self._tell(publish)
            else:
                self._rung = self._furthest
                self._notes.clear()

    @staticmethod
    async def _notify(connection: Connection, payload: str) -> None:
        await connection.execute("select pg_notify($1, $2)", CHANNEL, payload, timeout=2)

    async def _look_around(self, connection: Connection) -> bool:
        """Is there anybody to ring? A notification for nobody would cost a tenth of all that a lone process does."""
        now = asyncio.get_running_loop().time()
        if now - self._counted_at >= CENSUS_EVERY:
            self._has_company = bool(await connection.fetchval(CENSUS, NAME, timeout=2))
            self._counted_at = now
        return self._has_company

    def _notified(self, connection: object, pid: int, channel: str, payload: str) -> None:
        if pid == self._own:
            return
        self._has_company = True
        told = payload.encode()
        self._hear(NOTE + base64.b64decode(told[1:]) if told.startswith(NOTE) else told)
