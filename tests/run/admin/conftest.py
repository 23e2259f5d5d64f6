"""The commands as an operator runs them: processes of their own, on this test's database."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from messenger.app import create_app
from messenger.run.admin.__main__ import main
from messenger.web.server import make_runner
from tests.actors import Person, Server
from tests.apps.search.finding import indexed
from tests.apps.talk import says
from tests.commands import Done, forked
from tests.conftest import SECRET_KEY, configured, copy, named

Admin = Callable[..., Awaitable[Done]]


def environment(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    own = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "DATA_DIR": str(folder / "data"), "SECRET_KEY": SECRET_KEY}
    return {**own, **settings}


@pytest.fixture
def admin(dsn: str, tmp_path: Path) -> Admin:
    async def run(*arguments: str, stdin: str = "", **settings: str) -> Done:
        own = environment(tmp_path, {"DATABASE_URL": dsn, **settings})
        return await asyncio.to_thread(forked, main, *arguments, folder=tmp_path, environment=own, stdin=stdin)

    return run


def refusal(done: Done, code: int) -> str:
    """What was said; short, and no traceback."""
    assert done.returncode == code, done.stderr
    assert 1 <= len(done.stderr.splitlines()) <= 3, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@dataclass(frozen=True)
class Past:
    """A busy little history, made through the server, and the server gone: what tests damage."""

    lunch: int
    group: int
    direct: int
    alice: int
    bob: int
    carol: int
    gone: int
    first: int  # a message of alice in lunch, answered, reacted to and read by all


PAST = "messenger_past"


@pytest.fixture(scope="session")
def lived(postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Past:
    """The history in a database that others are copied from, made once in each process."""

    async def live() -> Past:
        connection = await asyncpg.connect(postgres)
        await connection.execute(f"drop database if exists {past_name()}")
        await copy(connection, past_name(), template)
        await connection.close()
        dsn = named(postgres, past_name())
        config = configured(tmp_path_factory.mktemp("past"), {})
        async with Server.running(make_runner(create_app(config, dsn))) as server:
            made = await live_a_little(server)
            sql = await asyncpg.connect(dsn)
            await indexed(sql)
            await sql.close()
        return made

    return asyncio.run(live())


def past_name() -> str:
    return f"{PAST}_{os.getpid()}"


@pytest.fixture
def past(lived: Past) -> Past:
    return lived


@pytest.fixture
def origin(request: pytest.FixtureRequest, template: str) -> str:
    """A test with a past begins there."""
    if "past" not in request.fixturenames:
        return template
    request.getfixturevalue("lived")
    return past_name()


async def live_a_little(server: Server) -> Past:
    async with (
        Person.registered(server, "alice") as alice,
        Person.registered(server, "bob") as bob,
        Person.registered(server, "carol") as carol,
        Person.registered(server, "dave") as dave,
    ):
        lunch = await alice.opens_chat("lunch", members=[bob])
        (await carol.joins(lunch)).expecting(201)
        (await dave.joins(lunch)).expecting(201)
        first = await says(alice, lunch, "pizza?", client_id="one")
        path = f"/v1/chats/{lunch}/messages"
        for person in (bob, carol, dave):
            await says(person, lunch, f"yes, says {person.name}", reply_to=first["message_id"])
        await _reacts(bob, f"{path}/{first['message_id']}", "👍")
        edited, deleted = await says(bob, lunch, "at none"), await says(bob, lunch, "a slip")
        (await bob.asks("PATCH", f"{path}/{edited['message_id']}", {"text": "at noon"})).expecting(200)
        (await bob.asks("DELETE", f"{path}/{deleted['message_id']}")).expecting(204)
        (await carol.leaves(lunch)).expecting(204)
        (await dave.asks("DELETE", "/v1/users/me")).expecting(204)
        await says(alice, lunch, "see you")
        group = str(
            (await alice.post("/v1/groups", {"name": "team", "participant_user_ids": [bob.user_id, carol.user_id]}))
            .expecting(201)
            .json["chat_id"]
        )
        for number in range(10):
            await says((alice, bob, carol)[number % 3], group, f"word {number}", operation_id=number + 1)
        direct = await alice.talks_to(bob)
        last = await says(alice, direct, "between us")
        (await bob.post(f"/v1/chats/{direct}/read", {"message_id": last["message_id"]})).expecting(200)
        passed = await bob.opens_chat("passed", members=[alice])
        await says(bob, passed, "soon gone")
        (await bob.deletes(passed)).expecting(204)
        return Past(
            int(lunch),
            int(group),
            int(direct),
            *(int(one.user_id) for one in (alice, bob, carol, dave)),
            int(first["message_id"]),
        )


async def _reacts(person: Person, message: str, emoji: str) -> None:
    answer = await person.asks("PUT", f"{message}/reactions/{emoji}")
    assert answer.status in {200, 201, 204}, answer
