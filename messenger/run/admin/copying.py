"""What a copy of an installation consists of, and how rows leave one database and enter another.

Every table that keeps something is copied, those of foreign sub-apps too. What is made anew is not: unlogged tables and
the search index. Rows travel as the text of COPY, which every version of PostgreSQL reads.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter

import asyncpg
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from messenger.db import driver
from messenger.db.schema import MIGRATION_LOCK, MOVE_TABLE
from messenger.run.cli import OTHER, Refusal

SCHEMA = "public"
MOVE_PARTS = "installation_move_parts"  # what a move has copied so far
MADE_ANEW = frozenset({"search_documents", "search_words"})  # by the follower `search`, from the beginning of the log
OF_A_PLACE = frozenset({"alembic_version", MOVE_TABLE, MOVE_PARTS})  # what they say is true of one database only
# Without a place of its own the follower of search begins at the beginning.
KEPT = {"log_followers": "name not in ('search', 'search begun', 'search rebuild')"}
# What PostgreSQL writes and reads as text must not depend on how a server is set up.
SAME_TEXT = {
    "search_path": SCHEMA,
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "iso_8601",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}
WITHOUT_LIMITS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_read_only": "off",
    "jit": "off",
}
TABLES = """
    select c.relname::text as name, pg_table_size(c.oid) as size,
           array_agg(a.attname::text order by a.attnum) filter (where a.attgenerated = '') as columns
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relpersistence = 'p'
       and has_table_privilege(c.oid, 'select')
       and not exists (select from pg_depend d
                        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
     group by c.oid order by c.relname
    """
REFERENCES = """
    select f.conrelid::regclass::text as of_table, f.confrelid::regclass::text as to_table from pg_constraint f
     where f.contype = 'f' and f.connamespace = 'public'::regnamespace and f.conrelid <> f.confrelid
    """
SEQUENCES = """
    select c.relname::text as name from pg_class c
     where c.relkind = 'S' and c.relnamespace = 'public'::regnamespace order by c.relname
    """
SOMETHING = """
    select c.relname::text from pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
       and not exists (select from pg_depend d
                        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
     order by c.relname = 'users' desc limit 1
    """
HEAD = "select position, epoch from log_head order by position desc limit 1"
OTHERS = """
    select coalesce(nullif(a.application_name, ''), 'unnamed') as name, count(*) as connections
      from pg_stat_activity a
     where a.datname = current_database() and a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
     group by 1 order by 1
    """


@dataclass(frozen=True, slots=True)
class Part:
    """A table, without the columns that PostgreSQL computes by itself; `size` in bytes, on disk."""

    name: str
    columns: tuple[str, ...]
    size: int

    @property
    def rows(self) -> str:
        """What is copied of it, as a select to which more conditions may be added."""
        columns = ", ".join(quoted(column) for column in self.columns)
        return f"select {columns} from {named(self.name)} where {KEPT.get(self.name, 'true')}"


@dataclass(frozen=True, slots=True)
class SequenceState:
    last_value: int
    is_called: bool


async def connect(dsn: str, name: str) -> asyncpg.Connection:
    return await asyncpg.connect(
        dsn,
        timeout=5,
        target_session_attrs=driver.TARGET,
        server_settings={"application_name": f"messenger {name}", **SAME_TEXT, **WITHOUT_LIMITS},
    )


@asynccontextmanager
async def snapshot(dsn: str, name: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(dsn, name)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    finally:
        connection.terminate()


@asynccontextmanager
async def filling(dsn: str, name: str) -> AsyncIterator[tuple[AsyncConnection, asyncpg.Connection]]:
    """One transaction for the migrations of an empty database and for its rows: all of it, or nothing."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda **_: connect(dsn, name), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            # A server that would migrate the database waits for this lock, and then finds all done.
            await connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
            rows = (await connection.get_raw_connection()).driver_connection
            assert rows is not None
            yield connection, rows
    finally:
        await engine.dispose()


async def find_parts(connection: asyncpg.Connection) -> list[Part]:
    """Those that others refer to come first."""
    found = {
        row["name"]: Part(row["name"], tuple(row["columns"] or ()), row["size"])
        for row in await connection.fetch(TABLES)
        if row["name"] not in MADE_ANEW | OF_A_PLACE
    }
    order: TopologicalSorter[str] = TopologicalSorter({name: () for name in found})
    for row in await connection.fetch(REFERENCES):
        order.add(row["of_table"], row["to_table"])
    return [found[name] for name in order.static_order() if name in found]


async def lock_against_changes_of_schema(connection: asyncpg.Connection, parts: Sequence[Part]) -> None:
    await connection.execute(f"lock table {', '.join(named(part.name) for part in parts)} in access share mode")


async def find_sequences(connection: asyncpg.Connection) -> dict[str, SequenceState]:
    return {
        row["name"]: SequenceState(
            *await connection.fetchrow(f"select last_value, is_called from {named(row['name'])}")
        )
        for row in await connection.fetch(SEQUENCES)
    }


async def read_rows(connection: asyncpg.Connection, part: Part, write: Callable[[bytes], Awaitable[None]]) -> int:
    return _rows(await connection.copy_from_query(part.rows, output=write))


async def write_rows(connection: asyncpg.Connection, part: Part, source: AsyncIterator[bytes]) -> None:
    """asyncpg alone would wait for ever until a connection that is lost can be written to."""
    lost = asyncio.Event()

    def lose(_: asyncpg.Connection) -> None:
        lost.set()

    connection.add_termination_listener(lose)
    writing = asyncio.create_task(
        connection.copy_to_table(part.name, schema_name=SCHEMA, columns=part.columns, source=source)
    )
    losing = asyncio.create_task(lost.wait())
    try:
        await asyncio.wait({writing, losing}, return_when=asyncio.FIRST_COMPLETED)
        if not writing.done():
            raise ConnectionError("the database has ended the connection")
        await writing
    finally:
        losing.cancel()
        writing.cancel()
        if not lost.is_set():
            await asyncio.wait({writing})  # before the connection is used again
            connection.remove_termination_listener(lose)


async def make_room(connection: asyncpg.Connection, parts: Iterable[Part]) -> None:
    """After migrations: they begin a log of their own, and what a trigger did to a row must not be done again.

    References are checked all the same.
    """
    for name in (named(part.name) for part in parts):
        await connection.execute(f"alter table {name} disable trigger user")
        if await connection.fetchval(f"select exists (select from {name})"):
            await connection.execute(f"delete from {name}")


async def settle(connection: asyncpg.Connection, parts: Iterable[Part], sequences: Mapping[str, SequenceState]) -> None:
    """After the last row."""
    for part in parts:
        await connection.execute(f"alter table {named(part.name)} enable trigger user")
    there = {row["name"] for row in await connection.fetch(SEQUENCES)}
    for name, state in sequences.items():
        if name in there:
            await connection.execute(
                "select setval($1::text::regclass, $2, $3)", named(name), state.last_value, state.is_called
            )
    await connection.execute("analyze")


async def refuse_others(connection: asyncpg.Connection) -> None:
    """Whoever is connected could write, a server or anybody else; and so could who ends a prepared transaction."""
    others = await find_others(connection)
    if others:
        raise Refusal(OTHER, f"Others are connected to the database: {others}.", "Stop them first.")
    prepared = await connection.fetchval("select min(gid) from pg_prepared_xacts where database = current_database()")
    if prepared is not None:
        raise Refusal(OTHER, f"A transaction is prepared there: {prepared!r}.", "End it first.")


async def refuse_something(connection: asyncpg.Connection, remedy: str) -> None:
    there = await connection.fetchval(SOMETHING)
    if there is not None:
        raise Refusal(OTHER, f"The database is not empty: it has a table {there}.", remedy)


async def find_others(connection: asyncpg.Connection) -> str:
    """Who else is connected to this database, in words; empty if nobody is."""
    rows = await connection.fetch(OTHERS)
    return ", ".join(f"{row['name']} ({row['connections']})" for row in rows)


async def count_rows(connection: asyncpg.Connection, part: Part) -> int:
    return int(await connection.fetchval(f"select count(*) from ({part.rows}) x"))


def named(table: str) -> str:
    return f"{SCHEMA}.{quoted(table)}"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _rows(done: str) -> int:
    return int(done.rpartition(" ")[2])
