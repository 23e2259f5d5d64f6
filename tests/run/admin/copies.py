"""What the tests of backup, restore and move share: empty databases, the rows of one, and a stop in the middle."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import asyncpg

from messenger.run.admin.__main__ import main
from proof.lab.waiting import happens
from tests.commands import Forked
from tests.conftest import SECRET_KEY, named

NUMBERS = count(1)
# A stop in the middle of copying the messages: these words of the past are not stored before a minute has passed.
STOP = "see you"
BRAKE = f"""
    create function brake(word text) returns boolean language plpgsql as
        $$ begin if word = '{STOP}' then perform pg_sleep(60); end if; return true; end $$;
    create function fit_brake() returns event_trigger language plpgsql as $$
        begin
            if exists (select from pg_event_trigger_ddl_commands() where object_identity = 'public.messages') then
                alter table public.messages add constraint brake check (public.brake(text));
            end if;
        end $$;
    create event trigger fit_brake on ddl_command_end when tag in ('CREATE TABLE') execute function fit_brake();
"""
RELEASE = """
    drop event trigger fit_brake;
    drop function fit_brake;
    drop function brake cascade;
"""
# A commit counts once its connection has ended, too.
BRAKING = "select count(*) from pg_stat_activity where datname = $1 and wait_event = 'PgSleep'"
CONNECTED = "select count(*) from pg_stat_activity where datname = $1 and backend_type = 'client backend'"
TABLES = """
    select c.relname::text from pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relpersistence = 'p' order by 1
"""
# The log goes on elsewhere, and search is made anew.
OF_THE_PLACE = {"log_head", "log_epochs", "log_followers", "search_documents", "search_words"}


@asynccontextmanager
async def empty_database(postgres: str) -> AsyncIterator[str]:
    name = f"empty_{os.getpid()}_{next(NUMBERS)}"
    connection = await asyncpg.connect(postgres)
    await connection.execute(f"create database {name}")
    yield named(postgres, name)
    await connection.execute(f"drop database {name} with (force)")
    await connection.close()


async def run_sql(dsn: str, script: str) -> None:
    connection = await asyncpg.connect(dsn, server_settings={"default_transaction_read_only": "off"})
    await connection.execute(script)
    await connection.close()


async def contents(dsn: str) -> dict[str, list[str]]:
    """All rows of all tables that keep something."""
    connection = await asyncpg.connect(dsn)
    tables = [row[0] for row in await connection.fetch(TABLES)]
    rows = {
        name: [row[0] for row in await connection.fetch(f'select t::text from "{name}" t order by 1')]
        for name in tables
        if name not in OF_THE_PLACE
    }
    await connection.close()
    return rows


async def left_alone(postgres: str, dsn: str) -> None:
    """Nobody is connected to the database any more: a connection that was closed may end a moment later."""
    await _counts(postgres, CONNECTED, dsn, 0)


async def killed_at_the_brake(postgres: str, dsn: str, *arguments: str, folder: Path, **settings: str) -> None:
    """Runs a command until it stands at the brake of that database, and ends it with kill -9."""
    await run_sql(dsn, BRAKE)
    process = started(*arguments, folder=folder, **settings)
    try:
        await _counts(postgres, BRAKING, dsn, 1, meanwhile=lambda: process.poll() is None)
    finally:
        process.kill()
        process.wait()
    connection = await asyncpg.connect(postgres)
    # PostgreSQL notices at the next byte it would send; nobody waits for a minute here.
    await connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and wait_event = 'PgSleep'",
        dsn.rpartition("?")[0].rpartition("/")[2],
    )
    await connection.close()
    await left_alone(postgres, dsn)
    await run_sql(dsn, RELEASE)


def started(*arguments: str, folder: Path, stdout: str = os.devnull, **settings: str) -> Forked:
    own = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "DATA_DIR": str(folder / "data"), "SECRET_KEY": SECRET_KEY}
    files = [Path(os.devnull), Path(stdout), Path(os.devnull)]
    return Forked(main, arguments, folder, {**own, **settings}, files)


async def _counts(
    postgres: str, question: str, dsn: str, expected: int, meanwhile: Callable[[], bool] = lambda: True
) -> None:
    connection = await asyncpg.connect(postgres)
    name = dsn.rpartition("?")[0].rpartition("/")[2]

    async def is_so() -> bool:
        assert meanwhile(), "the command has ended"
        return bool(await connection.fetchval(question, name) == expected)

    try:
        await happens(is_so, question)
    finally:
        await connection.close()
