"""messenger-db is Alembic's command line on the database the settings name, from any folder."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from messenger.db.schema import UNRELEASED_REFUSAL
from messenger.run.db import main
from tests.commands import Done, forked, in_earnest
from tests.conftest import named

HEAD = sorted((Path(__file__).parents[2] / "messenger/db/migrations/versions").glob("*.py"))[-1].name[:4]


def environment(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "DATA_DIR": str(folder / "data"), **settings}


def messenger_db(*arguments: str, folder: Path, **settings: str) -> Done:
    return forked(main, *arguments, folder=folder, environment=environment(folder, settings))


@pytest.fixture
async def empty(postgres: str):
    connection = await asyncpg.connect(postgres)
    await connection.execute("create database by_hand")
    yield named(postgres, "by_hand")
    await connection.execute("drop database by_hand with (force)")
    await connection.close()


async def test_upgrade_current_check_and_downgrade_work_from_any_folder(empty, tmp_path):
    def run(*arguments: str) -> Done:
        return messenger_db(*arguments, folder=tmp_path, DATABASE_URL=empty)

    up = await asyncio.to_thread(run, "upgrade", "head")
    assert up.returncode == 0, up.stderr

    current = await asyncio.to_thread(run, "current")
    assert HEAD in current.stdout

    check = await asyncio.to_thread(run, "check")
    assert check.returncode == 0, check.stdout + check.stderr

    down = await asyncio.to_thread(run, "downgrade", "base")
    assert down.returncode == 0, down.stderr


async def test_what_offline_prints_makes_the_same_functions_and_tables(empty, dsn, tmp_path):
    printed = messenger_db("upgrade", "head", "--sql", folder=tmp_path, DATABASE_URL=empty)
    assert printed.returncode == 0, printed.stderr
    by_hand = await asyncpg.connect(empty)
    await by_hand.execute(printed.stdout)

    migrated = await asyncpg.connect(dsn)
    for everything in (RELATIONS, FUNCTIONS):
        assert await by_hand.fetch(everything) == await migrated.fetch(everything)
    await by_hand.close()
    await migrated.close()


RELATIONS = """
    select c.relname, a.attname, a.atttypid, a.attnotnull from pg_class c join pg_attribute a on a.attrelid = c.oid
     where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and a.atttypid < 16384 order by c.relname, a.attnum
"""
FUNCTIONS = """
    select pg_get_functiondef(p.oid) from pg_proc p
     where p.pronamespace in ('public'::regnamespace, 'messenger'::regnamespace)
       and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') order by 1
"""


@pytest.mark.parametrize(
    "command", [("upgrade", "head"), ("downgrade", "base"), ("current",), ("check",)], ids=" ".join
)
async def test_a_database_from_before_the_first_release_is_refused_in_one_sentence(command, sql, dsn, tmp_path):
    await sql.execute("update alembic_version set version_num = '0008'")

    refused = await asyncio.to_thread(messenger_db, *command, folder=tmp_path, DATABASE_URL=dsn)

    assert refused.returncode == 4
    assert refused.stderr == f"{UNRELEASED_REFUSAL}\n"
    assert await sql.fetchval("select version_num from alembic_version") == "0008"


def test_without_a_setting_it_is_the_private_database(tmp_path):
    up = in_earnest("messenger.run.db", "upgrade", "head", folder=tmp_path, environment=environment(tmp_path, {}))
    assert up.returncode == 0, up.stderr

    assert HEAD in messenger_db("current", folder=tmp_path).stdout


def test_a_bare_command_says_what_to_type(tmp_path):
    bare = messenger_db(folder=tmp_path)

    assert bare.returncode == 2
    assert "messenger-db upgrade head" in bare.stderr
    assert "Traceback" not in bare.stderr


@pytest.mark.parametrize(
    ("arguments", "settings", "code"),
    [
        (("upgrade", "head"), {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, 3),
        (("upgrade", "nonsense"), {}, 4),
        (("current",), {"PORT": "many"}, 2),
    ],
    ids=["no database", "no such revision", "bad setting"],
)
def test_a_refusal_is_short_and_has_its_code(arguments, settings, code, tmp_path):
    refused = messenger_db(*arguments, folder=tmp_path, **settings)

    assert refused.returncode == code, refused.stderr
    assert "Traceback" not in refused.stderr
    assert len(refused.stderr.strip().splitlines()) <= 3
