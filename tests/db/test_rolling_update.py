"""Two versions side by side: a migration runs beneath a server that does not know it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from alembic import command

from messenger.db.schema import alembic_config
from proof.lab.crowd import Client, Reply, clients, new_name, sign_up
from proof.lab.processes import Process
from proof.lab.waiting import happens, running
from tests.db.test_stairway import NEWEST

HARMLESS = f"""
from messenger.db.migrations.script import run, suits, suits_no_more

revision = "3001"
down_revision = "{NEWEST}"


def upgrade():
    run('''
        create table notes (message_id bigint primary key, text text);
        alter table messages add column mood text not null default 'good';
        create index messages_mood_idx on messages (mood) where mood <> 'good';
    ''')
    suits(revision, "{NEWEST}")


def downgrade():
    suits_no_more(revision)
    run("drop table notes; alter table messages drop mood")
"""
HARSH = """
from messenger.db.migrations.script import run

revision = "3002"
down_revision = "3001"


def upgrade():
    run("alter table chats rename name to title")


def downgrade():
    run("alter table chats rename title to name")
"""


@pytest.fixture
def next_version(template: str, later_version: Path) -> None:
    """Migrations of a version after this one; servers, and what databases begin with, are of this one."""
    (later_version / "migrations/versions/3001_harmless.py").write_text(HARMLESS)
    (later_version / "migrations/versions/3002_harsh.py").write_text(HARSH)


@pytest.fixture
async def serve(dsn: str, tmp_path: Path) -> AsyncIterator[Callable[[], Process]]:
    started: list[Process] = []

    def begin() -> Process:
        started.append(Process(tmp_path, {"DATABASE_URL": dsn}).start())
        return started[-1]

    yield begin
    for one in started:
        one.kill()


async def test_older_servers_go_on_over_a_harmless_step_and_refuse_another(
    next_version: None, serve: Callable[[], Process], dsn: str
) -> None:
    first, second = serve(), serve()
    await asyncio.gather(first.ready(), second.ready())
    async with clients(*await sign_up(first, [new_name("alice"), new_name("bob")])) as (alice, bob):
        chat = await alice.opens_chat(first, new_name("chat"), [bob.actor])
        answered: list[Reply] = []
        async with running(talk(alice, first, chat, answered), talk(bob, second, chat, answered)) as talks:
            await grows(answered, 20)

            await asyncio.to_thread(command.upgrade, alembic_config(dsn), "3001")

            await grows(answered, 100)
            assert not any(one.done() for one in talks)
        assert {one.json["detail"] for one in answered if one.status not in {200, 201}} == set()
        assert await first.is_ready() and await second.is_ready()

        second.kill()
        await second.start().ready()
        await alice.says(second, chat, "served by an older version that began on the newer schema")
        said = [one["text"] for one in await bob.reads_all(first, chat)]
    assert len(said) == len(set(said)), "nothing twice"
    assert {one.json["text"] for one in answered if one.status == 201} <= set(said), "nothing lost"

    await asyncio.to_thread(command.upgrade, alembic_config(dsn), "3002")

    await happens(partial(_is_not, first), "the older server is not ready any more")
    third = serve()
    assert third.popen is not None
    assert await asyncio.to_thread(third.popen.wait) == 4
    assert third.said.startswith(f"Schema is at 3002, this version knows up to {NEWEST}: a newer one made it.")
    assert len(third.said.splitlines()) == 2

    await asyncio.to_thread(command.downgrade, alembic_config(dsn), NEWEST)

    await first.ready()
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("select max(revision) from schema_steps") == NEWEST
    await connection.close()


async def talk(client: Client, process: Process, chat: str, answered: list[Reply]) -> None:
    """Sends, reads, changes and signs in at once with each word."""
    while True:
        number = len(answered)
        for method, path, body in (
            ("POST", f"/v1/chats/{chat}/messages", {"text": f"{client.actor.name} {number}"}),
            ("GET", f"/v1/chats/{chat}/messages?limit=20", None),
            ("PATCH", "/v1/users/me", {"about": f"number {number}"}),
            ("GET", "/v1/sync", None),
        ):
            answered.append(await client.asks(process, method, path, body))


async def grows(answered: list[Reply], more: int) -> None:
    before = len(answered)

    async def has_grown() -> bool:
        return len(answered) >= before + more

    await happens(has_grown, "requests are answered")


async def _is_not(process: Process) -> bool:
    return not await process.is_ready()
