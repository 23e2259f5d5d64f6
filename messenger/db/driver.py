"""How every connection of the server to PostgreSQL is made, and what its loss looks like."""

import asyncio
import os
import socket
from contextvars import ContextVar
from typing import Any

import asyncpg

CONNECT_TIMEOUT = 1.0  # D13: with PostgreSQL away an answer comes within a second, not a hang
TARGET = "read-write"
# A connection that met one of these is not kept.
LOST = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # after a kill -9 of the server; belongs to none of the other families
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # this is a standby: the next connection finds the server that leads
)
# Whatever can go wrong between here and the server, for loops that begin anew after any of it.
FAILED = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# The id of the request that is being answered; PostgreSQL's own log and pg_stat_activity show it (see `execute`).
ASKED_BY: ContextVar[str] = ContextVar("asked_by", default="")
LONGEST_NAME = 63
HOST = socket.gethostname()[:12]  # so that a process and an id of ours fit as well


def application_name() -> str:
    return f"messenger {HOST}:{os.getpid()}"


class Connection(asyncpg.Connection):  # type: ignore[misc]
    """When nobody waits for a statement any more, the connection ends and the statement goes on.

    asyncpg would ask the server to cancel it. A commit that waits for a standby is then done on this server alone,
    and a failover undoes what it had answered.
    """

    async def execute(self, query: str, *arguments: Any, timeout: float | None = None) -> str:
        """A transaction has the name of its request. It says so with its BEGIN, which costs no further round trip."""
        if query.startswith("BEGIN") and (asked_by := ASKED_BY.get()):
            name = f"{application_name()} {asked_by}"[:LONGEST_NAME].replace("'", "''")
            query = f"{query} set local application_name = '{name}'"
        return await super().execute(query, *arguments, timeout=timeout)  # type: ignore[no-any-return]

    def _cancel_current_command(self, *waiters: "asyncio.Future[None] | None") -> None:
        def end() -> None:
            self.terminate()
            for waiter in waiters:
                if waiter is not None and not waiter.done():
                    waiter.set_result(None)

        self._loop.call_soon(end)  # asyncpg still has to tell the one who waited


async def connect(dsn: str, **options: Any) -> Connection:
    """To a server that takes writes. A standby does not, and what it knows is old."""
    options.setdefault("timeout", CONNECT_TIMEOUT)
    return await asyncpg.connect(  # type: ignore[no-any-return]
        dsn, connection_class=Connection, target_session_attrs=TARGET, **options
    )
