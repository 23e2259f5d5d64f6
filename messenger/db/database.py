"""The way to PostgreSQL: a pool per process, transactions, and what its failures mean to a caller.

A lost or refused connection is `Unavailable` (503) everywhere; text that PostgreSQL itself refuses is
`BadParameters`, the second net behind the checks at the edge.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Result, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import QueuePool

from messenger.db import driver
from messenger.db.connection import ConnectionSet
from messenger.db.liveness import Liveness, connect_watched
from messenger.db.news import News
from messenger.db.statements import CompiledQuery, text
from messenger.errors import BadParameters, Unavailable

T = TypeVar("T")

COMMAND_TIMEOUT = 5.0
CONNECTIONS = 4  # for frequent reads, beside the pool
# Every default of PostgreSQL here is "wait for ever".
SESSION_LIMITS = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
}
# Planning these short reads anew each time would take longer than executing them; tests/db/test_plans.py looks at each.
GENERIC_PLANS = {**SESSION_LIMITS, "plan_cache_mode": "force_generic_plan"}
# Untranslatable or NUL text, a number out of range, a negative limit, a bad expression: the caller's doing.
CALLERS_FAULT = frozenset({"22021", "22P05", "22003", "2201W", "2201X", "22P02", "54000", "54001", "2201B"})
UNSENDABLE = (OverflowError, UnicodeError)  # the same, met by the driver
AWAY = (
    *driver.LOST,
    PoolTimeout,
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,
    asyncpg.DeadlockDetectedError,  # nothing was stored, and the next try finds the rival gone
    asyncpg.SerializationError,
)


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a store executes its statements in: one after the other, all or nothing."""

    session: AsyncSession
    news: list[News] = field(default_factory=list)
    last: "dict[Writer, list[Any]]" = field(default_factory=dict)

    async def run(self, statement: str, **given: Any) -> Result[*tuple[Any, ...]]:
        """One statement written as SQL, with its parameters by name."""
        return await self.session.execute(text(statement), given)

    def at_the_end(self, write: "Callable[[Transaction, list[T]], Awaitable[None]]", row: T) -> None:
        """To be written with all others of its kind in one statement, before the news and the commit."""
        self.last.setdefault(write, []).append(row)

    def emit(self, *news: News) -> None:
        """To be written to the log as the last thing before the commit, or not at all."""
        self.news.extend(news)


Writer = Callable[[Transaction, list[Any]], Awaitable[None]]
# Writes a transaction's news as the last thing before its commit; returns the last position.
Append = Callable[[AsyncSession, Sequence[News]], Awaitable[int]]


async def refuse_news(session: AsyncSession, news: Sequence[News]) -> int:
    raise RuntimeError(f"this Database was made without a log, so {news[0].kind} cannot be written to it")


class Database:
    def __init__(
        self,
        dsn: str,
        *,
        append: Append = refuse_news,
        pool_size: int = 10,
        pooled: bool = False,
        liveness: Liveness | None = None,
    ) -> None:
        """`pooled`: a transaction pooler (pgbouncer) stands in between, so nothing may be prepared."""
        self.dsn = dsn
        self._append = append
        self._liveness = liveness
        self.on_news: Callable[[int], None] = lambda position: None  # called after the commit

        async def connect(**options: Any) -> driver.Connection:
            if pooled:
                options["statement_cache_size"] = 0
            else:
                options["server_settings"] = {"application_name": driver.application_name(), **SESSION_LIMITS}
            return await connect_watched(liveness, dsn, command_timeout=COMMAND_TIMEOUT, **options)

        self.engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            connect_args={"prepared_statement_cache_size": 0} if pooled else {},
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=driver.CONNECT_TIMEOUT,
            pool_use_lifo=True,
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_dead_connection)
        event.listen(self.engine.sync_engine, "handle_error", _leave_standby)
        self.connections = ConnectionSet(dsn, CONNECTIONS, SESSION_LIMITS, pooled=pooled, liveness=liveness)
        self.reads = ConnectionSet(dsn, CONNECTIONS, GENERIC_PLANS, pooled=pooled, liveness=liveness)
        # Made once: an engine with options is an engine of its own, for the price of two statements.
        self._for_reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._for_snapshots = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._session(self.engine) as tx:
            yield tx
            for write, rows in tx.last.items():
                await write(tx, rows)
            last = await self._append(tx.session, tx.news) if tx.news else None
            await tx.session.commit()
        if last is not None:
            self.on_news(last)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """Each statement on its own, without BEGIN and COMMIT."""
        async with self._session(self._for_reading) as tx:
            yield tx

    async def find_row(self, query: CompiledQuery, **given: Any) -> Any:
        """The first row, or None."""
        with translated():
            rows = await self.reads.rows(query.text, *query.arguments(given))
        return rows[0] if rows else None

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Transaction]:
        """Several statements that see the same state of the database, and change nothing."""
        async with self._session(self._for_snapshots) as tx:
            yield tx

    @asynccontextmanager
    async def _session(self, engine: AsyncEngine) -> AsyncIterator[Transaction]:
        with translated():
            if self._liveness is not None:
                self._liveness.refuse_silence()
            async with AsyncSession(engine, expire_on_commit=False) as session:
                yield Transaction(session)

    @property
    def in_use(self) -> int:
        """Connections of the pool in use at this moment."""
        pool = self.engine.pool
        return pool.checkedout() if isinstance(pool, QueuePool) else 0

    async def close(self) -> None:
        self.connections.close()
        self.reads.close()
        # A connection to a server that is gone would wait for an orderly close.
        await asyncio.wait_for(self.engine.dispose(), COMMAND_TIMEOUT)


class translated:  # noqa: N801  (reads as a word in `with translated():`)
    """Turns the driver's failures into what they mean."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        original = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig is not None else error
        if isinstance(original, AWAY):
            raise Unavailable("The database does not answer right now.", retry_after=1) from error
        is_unsendable = isinstance(original, asyncpg.DataError) and isinstance(original.__cause__, UNSENDABLE)
        if is_unsendable or getattr(original, "sqlstate", None) in CALLERS_FAULT:
            raise BadParameters("The request holds text or numbers that cannot be stored.") from error


def _leave_standby(met: ExceptionContext) -> None:
    """The pool drops all its connections: others lead to the same server."""
    if isinstance(getattr(met.original_exception, "__cause__", None), asyncpg.ReadOnlySQLTransactionError):
        met.is_disconnect = True


def _refuse_dead_connection(connection: Any, record: object, proxy: object) -> None:
    """Before the pool gives it out; asyncpg knows of a closed socket without a round trip."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError
