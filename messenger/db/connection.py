"""Direct connections to PostgreSQL that reconnect by themselves: for the appender, the tail, the replays, the index.

One statement at a time. A statement is never repeated here: only the caller knows whether that is safe.
"""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import asyncpg

from messenger.db.driver import LOST, Connection, application_name
from messenger.db.liveness import Liveness, connect_watched
from messenger.errors import Unavailable

STATEMENT_TIMEOUT = 5.0
PLAIN: Mapping[str, str] = MappingProxyType({})


class ConnectionLost(Unavailable):
    """The connection broke or could not be made: what the statement did is unknown."""

    def __init__(self) -> None:
        super().__init__("The database does not answer right now.", retry_after=1)


class ReconnectingConnection:
    def __init__(
        self, dsn: str, settings: Mapping[str, str] = PLAIN, *, pooled: bool = False, liveness: Liveness | None = None
    ) -> None:
        """`pooled`: a transaction pooler stands in between, so nothing may be prepared or set."""
        self._dsn = dsn
        self._liveness = liveness
        self._pooled = pooled
        self._settings = settings
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def rows(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        async with self._turn:
            try:
                connection = await self._connected()
                return await connection.fetch(statement, *arguments, timeout=STATEMENT_TIMEOUT)  # type: ignore[no-any-return]
            except LOST as error:
                self._forget()
                raise ConnectionLost from error
            except asyncio.CancelledError:
                self._forget()  # its answer may still come, and the next statement must not read it
                raise

    async def row(self, statement: str, *arguments: Any) -> asyncpg.Record:
        return (await self.rows(statement, *arguments))[0]

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            options: dict[str, Any] = {"statement_cache_size": 0}
            if not self._pooled:
                named = {"application_name": application_name(), "timezone": "UTC", **self._settings}
                options = {"server_settings": named}
            self._connection = await connect_watched(self._liveness, self._dsn, **options)
        return self._connection

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.terminate()  # an orderly close would hang when the server is gone
            self._connection = None

    def close(self) -> None:
        self._forget()


class ConnectionSet:
    """A few of them for frequent reads. The one used last is used first, so idle ones stay idle."""

    def __init__(
        self,
        dsn: str,
        size: int,
        settings: Mapping[str, str] = PLAIN,
        *,
        pooled: bool = False,
        liveness: Liveness | None = None,
    ) -> None:
        self._all = [ReconnectingConnection(dsn, settings, pooled=pooled, liveness=liveness) for _ in range(size)]
        self._free: asyncio.LifoQueue[ReconnectingConnection] = asyncio.LifoQueue()
        for connection in self._all:
            self._free.put_nowait(connection)

    async def rows(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        connection = await self._free.get()
        try:
            return await connection.rows(statement, *arguments)
        finally:
            self._free.put_nowait(connection)

    async def row(self, statement: str, *arguments: Any) -> asyncpg.Record:
        return (await self.rows(statement, *arguments))[0]

    def close(self) -> None:
        for connection in self._all:
            connection.close()
