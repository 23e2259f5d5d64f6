"""Every migration goes up, down and up again, and the tables are then what the code says they are."""

import asyncio
import sys

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from messenger.db.metadata import Table
from messenger.db.schema import alembic_config
from tests.conftest import named

# Alembic's own table, and extensions that others in the database may have come to use.
STAYS = {("relation", "alembic_version"), ("relation", "alembic_version_pkc")}
STAYS |= {("extension", "pg_trgm"), ("extension", "btree_gin")}
REVISIONS: list[Script] = list(ScriptDirectory.from_config(alembic_config("")).walk_revisions())[::-1]


async def catalogue(dsn: str) -> set[tuple[str, str]]:
    """Everything in the schema that a migration can make."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            """
            select 'relation' as kind, relname::text as name from pg_class where relnamespace = 'public'::regnamespace
            union all select 'function', proname || '(' || pg_get_function_identity_arguments(oid) || ')'
              from pg_proc where pronamespace = 'public'::regnamespace
               and not exists (select from pg_depend d where d.objid = pg_proc.oid and d.deptype = 'e')
            union all select 'schema', nspname from pg_namespace where nspname !~ '^pg_'
            union all select 'extension', extname from pg_extension
            """
        )
        return {(row["kind"], row["name"]) for row in rows}
    finally:
        await connection.close()


@pytest.fixture
async def empty(postgres: str):
    connection = await asyncpg.connect(postgres)
    await connection.execute("create database stairway")
    yield named(postgres, "stairway")
    await connection.execute("drop database stairway with (force)")
    await connection.close()


async def test_every_step_goes_up_down_and_up_and_leaves_nothing_behind(empty):
    config = alembic_config(empty)
    for revision in REVISIONS:
        below = revision.down_revision or "base"
        await asyncio.to_thread(command.upgrade, config, below) if below != "base" else None
        before = await catalogue(empty)

        await asyncio.to_thread(command.upgrade, config, revision.revision)
        after = await catalogue(empty)
        await asyncio.to_thread(command.downgrade, config, below)

        left = await catalogue(empty) - before - STAYS
        assert left == set(), f"{revision.revision} leaves this behind"
        await asyncio.to_thread(command.upgrade, config, revision.revision)
        assert await catalogue(empty) == after


async def test_the_tables_are_what_the_code_says(dsn):
    async def connect(**options: object) -> asyncpg.Connection:
        return await asyncpg.connect(dsn, **options)

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), Table.metadata))

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()

    assert found == []


async def test_starters_that_migrate_at_once_do_not_race(empty):
    async def starter() -> int:
        script = f"from messenger.db.schema import upgrade; upgrade({empty!r})"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
        return await process.wait()

    codes = await asyncio.gather(*(starter() for _ in range(3)))

    assert codes == [0, 0, 0]
    assert ("relation", "users") in await catalogue(empty)
