"""What a copy of an installation consists of, and how rows leave one database and enter another.

Every table that keeps something is copied, those of foreign sub-apps too. What is made anew is not: unlogged tables and
the search index. Rows travel as the text of COPY, which every version of PostgreSQL reads.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter

import asyncpg

from messenger.db import driver

SCHEMA = "public"
MADE_ANEW = frozenset({"search_documents", "search_words"})  # by the follower `search`, from the beginning of the log
OF_A_PLACE = frozenset({"alembic_version", "installation_move"})  # what they say is true of one database only
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


@dataclass(frozen=True, slots=True)
class SequenceState:
    last_value: int
    is_called: bool


async def connect(dsn: str, name: str) -> asyncpg.Connection:
    return await driver.connect(
        dsn, timeout=5, server_settings={"application_name": f"messenger {name}", **SAME_TEXT, **WITHOUT_LIMITS}
    )


@asynccontextmanager
async def snapshot(dsn: str, name: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(dsn, name)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    finally:
        connection.terminate()


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
    done = await connection.copy_from_table(part.name, schema_name=SCHEMA, columns=part.columns, output=write)
    return _rows(done)


async def write_rows(connection: asyncpg.Connection, part: Part, source: AsyncIterator[bytes]) -> int:
    done = await connection.copy_to_table(part.name, schema_name=SCHEMA, columns=part.columns, source=source)
    return _rows(done)


@asynccontextmanager
async def silenced(connection: asyncpg.Connection, parts: Iterable[Part]) -> AsyncIterator[None]:
    """What a trigger did when a row was written first must not be done again. References are checked all the same."""
    names = [named(part.name) for part in parts]
    for name in names:
        await connection.execute(f"alter table {name} disable trigger user")
    yield
    for name in names:
        await connection.execute(f"alter table {name} enable trigger user")


async def set_sequences(connection: asyncpg.Connection, states: dict[str, SequenceState]) -> None:
    there = {row["name"] for row in await connection.fetch(SEQUENCES)}
    for name, state in states.items():
        if name in there:
            await connection.execute(
                "select setval($1::regclass, $2, $3)", named(name), state.last_value, state.is_called
            )


async def forget_search(connection: asyncpg.Connection) -> None:
    """The follower begins where it finds no place of its own."""
    await connection.execute("delete from log_followers where name in ('search', 'search begun', 'search rebuild')")


async def find_others(connection: asyncpg.Connection) -> str:
    """Who else is connected to this database, in words; empty if nobody is."""
    rows = await connection.fetch(OTHERS)
    return ", ".join(f"{row['name']} ({row['connections']})" for row in rows)


def named(table: str) -> str:
    quoted = table.replace('"', '""')
    return f'{SCHEMA}."{quoted}"'


def _rows(done: str) -> int:
    return int(done.rpartition(" ")[2])
