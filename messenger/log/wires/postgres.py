"""Doorbells by LISTEN and NOTIFY: no further service is needed, and one notification stands for all that wait.

Sent after the commit, in a transaction of its own: commits that notify take a lock over the whole cluster, and the hot
path must not wait for it.
"""

import asyncio
import base64
from contextlib import suppress

import asyncpg

from messenger.db.driver import FAILED, Connection, connect
from messenger.log.wires.retrying import EVERYBODY, NOTE, RetryingWire, Works

CHANNEL = "messenger_log"
LONGEST_NOTE = 5000  # a payload stays below PostgreSQL's 8,000 bytes, base64 included
NAME = "messenger wire"
HELLO = "h"  # sent by a process that begins to listen: the others count again; those that miss it, in a second
CENSUS_EVERY = 1.0
CENSUS = """
    select count(*) from pg_stat_activity
     where application_name = $1 and datname = current_database() and pid <> pg_backend_pid()
"""


class PostgresWire(RetryingWire):
    failures = FAILED

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._dsn = dsn
        self._others = 1
        self._counted_at = 0.0
        self._own = 0  # our backend: its notifications are ignored

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
            self._on_ring(0)  # doorbells rung meanwhile are lost: fetch
            await self._speak(connection)
        finally:
            connection.terminate()

    async def _speak(self, connection: Connection) -> None:
        async def publish(message: bytes) -> None:
            text = NOTE + base64.b64encode(message[1:]) if message.startswith(NOTE) else message
            await self._notify(connection, text.decode())

        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):  # when the server is gone, nothing else would end the wait
                    await self._news.wait()
            if connection.is_closed():
                raise asyncpg.InterfaceError("the connection is closed")
            self._news.clear()
            others = await self._count_others(connection)
            told, self._told = self._told, EVERYBODY
            if others <= told:
                self._rung = self._furthest
            if others:
                await self._send_waiting(publish)
            else:
                self._notes.clear()

    @staticmethod
    async def _notify(connection: Connection, payload: str) -> None:
        await connection.execute("select pg_notify($1, $2)", CHANNEL, payload, timeout=2)

    async def _count_others(self, connection: Connection) -> int:
        """How many listen? Notifying those who know would cost a tenth of all the work of a single process."""
        now = asyncio.get_running_loop().time()
        if now - self._counted_at >= CENSUS_EVERY:
            self._others = await connection.fetchval(CENSUS, NAME, timeout=2)
            self._counted_at = now
        return self._others

    def _notified(self, connection: object, pid: int, channel: str, payload: str) -> None:
        if pid == self._own:
            return
        self._others = max(self._others, 1)
        if payload == HELLO:
            self._counted_at = 0.0
        message = payload.encode()
        self._hear(NOTE + base64.b64decode(message[1:]) if message.startswith(NOTE) else message)
