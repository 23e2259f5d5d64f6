"""Every migration goes up, down and up again, and the tables are then what the code says they are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from messenger.db import schema
from messenger.db.metadata import Table
from messenger.db.migrations import script
from messenger.db.schema import alembic_config
from messenger.run.db import main
from tests.commands import Done, forked
from tests.conftest import named

# Alembic's own table, and extensions that others in the database may have come to use.
STAYS = {("relation", "alembic_version"), ("relation", "alembic_version_pkc")}
STAYS |= {("extension", "pg_trgm"), ("extension", "btree_gin")}
REVISIONS: list[Script] = list(ScriptDirectory.from_config(alembic_config("")).walk_revisions())[::-1]
NEWEST = REVISIONS[-1].revision


async def catalogue(dsn: str) -> set[tuple[str, str]]:
    """Everything in the schema that a migration can make. Functions by name: they are always as their files say."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            """
            select 'relation' as kind, relname::text as name from pg_class where relnamespace = 'public'::regnamespace
            union all select 'trigger', tgname from pg_trigger where not tgisinternal
            union all select 'function', proname
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
    async with made(postgres, "stairway") as dsn:
        yield dsn


@pytest.fixture
async def other_empty(postgres: str):
    async with made(postgres, "stairway_beside") as dsn:
        yield dsn


@asynccontextmanager
async def made(postgres: str, name: str) -> AsyncIterator[str]:
    connection = await asyncpg.connect(postgres)
    await connection.execute(f"create database {name}")
    yield named(postgres, name)
    await connection.execute(f"drop database {name} with (force)")
    await connection.close()


def is_brought_back(one: tuple[str, str], revision: Script) -> bool:
    """A function of before: on the way up the files have no more of it, on the way down it returns."""
    texts = Path(revision.path).with_suffix(".down.sql")
    kind, name = one
    return kind == "function" and texts.exists() and f"function {name.partition('(')[0]}(" in texts.read_text()


async def test_every_step_goes_up_down_and_up_and_leaves_nothing_behind(empty):
    config = alembic_config(empty)
    for revision in REVISIONS:
        below = revision.down_revision or "base"
        await asyncio.to_thread(command.upgrade, config, below) if below != "base" else None
        before = await catalogue(empty)

        await asyncio.to_thread(command.upgrade, config, revision.revision)
        after = await catalogue(empty)
        await asyncio.to_thread(command.downgrade, config, below)

        left = {one for one in await catalogue(empty) - before - STAYS if not is_brought_back(one, revision)}
        assert left == set(), f"{revision.revision} leaves this behind"
        await asyncio.to_thread(command.upgrade, config, revision.revision)
        assert await catalogue(empty) == after


async def functions(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return [row[0] for row in await connection.fetch(FUNCTIONS)]
    finally:
        await connection.close()


FUNCTIONS = """
    select pg_get_functiondef(p.oid) from pg_proc p
     where p.pronamespace in ('public'::regnamespace, 'messenger'::regnamespace)
       and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') order by 1
"""


async def test_down_to_the_base_and_up_again_the_functions_are_what_their_files_say(empty):
    config = alembic_config(empty)
    await asyncio.to_thread(command.upgrade, config, "head")
    await asyncio.to_thread(command.downgrade, config, "1000")
    await asyncio.to_thread(command.upgrade, config, "head")
    migrated = await functions(empty)

    connection = await asyncpg.connect(empty, server_settings={"search_path": "public"})
    for file in sorted(script.FUNCTIONS.glob("*.sql")):
        await connection.execute(file.read_text())
    await connection.close()

    assert await functions(empty) == migrated
    assert len(migrated) == len(list(script.FUNCTIONS.glob("*.sql"))), "one in each file, and none without"


async def test_a_later_migration_changes_functions_by_the_rule(empty, other_empty, later_version):
    """An installation that is upgraded, and one made new, end the same; and the way back leads to what there was."""
    await asyncio.to_thread(command.upgrade, alembic_config(empty), "head")
    first = await functions(empty)
    functions_folder, versions = later_version / "functions", later_version / "migrations/versions"
    old = (functions_folder / "log_missed.sql").read_text()
    (functions_folder / "log_missed.sql").write_text(LATER_MISSED)
    (functions_folder / "note_count.sql").write_text(NOTE_COUNT)
    (versions / "2001_notes.py").write_text(LATER_MIGRATION)
    (versions / "2001_notes.down.sql").write_text(old)

    for database in (empty, other_empty):
        await asyncio.to_thread(command.upgrade, alembic_config(database), "head")

    upgraded = await functions(empty)
    assert len(upgraded) == len(first) + 1 and upgraded != first
    assert await functions(other_empty) == upgraded
    for database in (empty, other_empty):
        await asyncio.to_thread(command.downgrade, alembic_config(database), NEWEST)
        assert await functions(database) == first
        await asyncio.to_thread(command.downgrade, alembic_config(database), "base")


LATER_MISSED = """
    create or replace function log_missed(the_user bigint) returns setof bigint language sql stable as
    $$ select user_id from notes where user_id = the_user $$;
"""
NOTE_COUNT = """
    create or replace function note_count() returns bigint language sql stable as $$ select count(*) from notes $$;
"""
LATER_MIGRATION = f"""
from pathlib import Path

from messenger.db.migrations.script import load_functions, run

revision = "2001"
down_revision = "{NEWEST}"


def upgrade():
    run("create table notes (user_id bigint); drop function if exists log_missed(bigint, bigint)")
    load_functions("log_missed", "note_count")


def downgrade():
    run("drop function note_count, log_missed; drop table notes")
    run(Path(__file__).with_suffix(".down.sql").read_text())
"""


async def test_the_numbers_of_another_package_are_its_own(empty, tmp_path, monkeypatch, read_anew):
    """Also those that our own migrations had before the first release."""
    (tmp_path / "0001_greetings.py").write_text(OF_ANOTHER_PACKAGE)
    monkeypatch.setattr(schema, "foreign_migrations", lambda: [tmp_path])
    for _ in ("made", "looked at again"):
        await asyncio.to_thread(schema.upgrade, empty)

    state = await schema.state(empty)
    assert (state.current, state.unknown, state.is_unreleased) == ({"0001", NEWEST}, set(), False)


OF_ANOTHER_PACKAGE = """
revision = "0001"
down_revision = None
branch_labels = ("greetings",)


def upgrade():
    pass
"""


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


async def test_starters_that_migrate_at_once_do_not_race(empty, tmp_path):
    own = {"PATH": "/usr/bin:/bin", "DATABASE_URL": empty}

    def start() -> Done:
        return forked(main, "upgrade", "head", folder=tmp_path, environment=own)

    done = await asyncio.gather(*(asyncio.to_thread(start) for _ in range(3)))

    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 3
    assert ("relation", "users") in await catalogue(empty)
