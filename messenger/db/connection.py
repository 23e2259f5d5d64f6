"""A direct connection to PostgreSQL that comes back by itself: for the sender, the tail and the replays.

One statement at a time. A statement is never repeated here: only the caller knows whether that is safe.
"""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import asyncpg

from messenger.db.driver import LOST, Connection, connect
from messenger.db.liveness import Liveness
from messenger.errors import Unavailable

STATEMENT_TIMEOUT = 5.0
PLAIN: Mapping[str, str] = MappingProxyType({})


class ConnectionLost(Unavailable):
    """The connection broke or could not be made: what the statement did is unknown."""

    def __init__(self) -> None:
        super().__init__("The database does not answer right now.", retry_after=1)


class ReconnectingConnection:
    def __init__(
        self, dsn: str, settings: Mapping[str, str] = PLAIN, *, pooled: bool = False, watch: Liveness | None = None
    ) -> None:
        """`pooled`: a transaction pooler stands in between, so nothing may be prepared or set."""
        self._dsn = dsn
        self._watch = watch
        self._options = {"statement_cache_size": 0} if pooled else {}
        self._settings = {} if pooled else {"application_name": "messenger", "timezone": "UTC", **settings}
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
                self._forget()  # its answer may still come: the next statement must not read it
                raise

    async def row(self, statement: str, *arguments: Any) -> asyncpg.Record:
        return (await self.rows(statement, *arguments))[0]

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            if self._watch is not None:
                self._watch.refuse_silence()
            self._connection = await connect(self._dsn, server_settings=self._settings, **self._options)
            if self._watch is not None:
                self._watch.admit(self._connection)
        return self._connection

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.terminate()  # a polite goodbye to a server that is gone would hang
            self._connection = None

    def close(self) -> None:
        self._forget()


class ConnectionSet:
    """A few of them for reads that are frequent; the one that spoke last is asked first, so idle ones stay idle."""

    def __init__(
        self,
        dsn: str,
        size: int,
        settings: Mapping[str, str] = PLAIN,
        *,
        pooled: bool = False,
        watch: Liveness | None = None,
    ) -> None:
        self._all = [ReconnectingConnection(dsn, settings, pooled=pooled, watch=watch) for _ in range(size)]
        self._free: asyncio.LifoQueue[ReconnectingConnection] = asyncio.LifoQueue()
        for line in self._all:
            self._free.put_nowait(line)

    async def rows(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        line = await self._free.get()
        try:
            return await line.rows(statement, *arguments)
        finally:
            self._free.put_nowait(line)

    async def row(self, statement: str, *arguments: Any) -> asyncpg.Record:
        return (await self.rows(statement, *arguments))[0]

    def close(self) -> None:
        for line in self._all:
            line.close()
