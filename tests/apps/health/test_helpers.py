"""Redis and RabbitMQ are named where the settings name them; away, they are shown, and people are still sent here."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from proof.lab.processes import free_port
from proof.lab.rabbit import Rabbit, needs_rabbit
from proof.lab.redis import Valkey
from proof.lab.waiting import PATIENCE, happens
from tests.actors import Person, Server

AWAY, THERE = {"ok": False, "detail": "does not answer"}, {"ok": True, "detail": "answers"}

Visit = Callable[..., Awaitable[Person]]


@pytest.fixture
async def visit(start: Callable[..., Awaitable[Server]]) -> AsyncIterator[Visit]:
    """Somebody at a server with these settings."""
    async with AsyncExitStack() as stack:

        async def visited(**settings: str) -> Person:
            server = await start(APPS="health,auth,chats,messages,search,throttling", **settings)
            return await stack.enter_async_context(Person.stranger(server))

        yield visited


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    one = Valkey(tmp_path).start()
    yield one
    one.kill()


@pytest.fixture
def rabbit(tmp_path: Path) -> Iterator[Rabbit]:
    one = Rabbit(tmp_path).start()
    yield one
    one.kill()


async def readiness(person: Person) -> dict[str, Any]:
    """Whatever is away or hangs: a balancer is told that people may be sent here."""
    async with asyncio.timeout(PATIENCE):
        answer = (await person.get("/readyz")).expecting(200).json
    assert answer["ready"] is True
    assert answer["degraded"] is not all(one["ok"] for one in answer["dependencies"].values())
    return dict(answer["dependencies"])


async def becomes(person: Person, name: str, wanted: dict[str, Any]) -> None:
    async def is_so() -> bool:
        await asyncio.sleep(0.1)
        return bool((await readiness(person))[name] == wanted)

    await happens(is_so, f"{name} becomes {wanted}", 2 * PATIENCE)


async def test_what_no_setting_names_is_not_looked_at(visit: Visit) -> None:
    assert set(await readiness(await visit())) == {"database", "schema"}


async def test_a_redis_that_goes_is_shown_and_so_is_its_return(visit: Visit, valkey: Valkey) -> None:
    person = await visit(REDIS_URL=valkey.url)
    await becomes(person, "redis", THERE)

    valkey.kill()
    await becomes(person, "redis", AWAY)

    valkey.start()
    await becomes(person, "redis", THERE)


async def test_a_redis_that_hangs_keeps_no_probe_waiting(visit: Visit, valkey: Valkey) -> None:
    person = await visit(REDIS_URL=valkey.url)
    await becomes(person, "redis", THERE)
    assert valkey.popen is not None
    process = psutil.Process(valkey.popen.pid)

    process.suspend()
    try:
        await becomes(person, "redis", {"ok": False, "detail": "no answer within 0.5 s"})
    finally:
        process.resume()

    await becomes(person, "redis", THERE)


@needs_rabbit
async def test_a_rabbitmq_of_which_the_last_node_goes_is_shown_and_so_is_its_return(
    visit: Visit, rabbit: Rabbit
) -> None:
    await rabbit.ready()
    person = await visit(RMQ_URL=f"amqp://guest:guest@127.0.0.1:{free_port()}/,{rabbit.url}")
    await becomes(person, "rabbitmq", THERE)

    rabbit.kill()
    await becomes(person, "rabbitmq", AWAY)

    await rabbit.start().ready()
    await becomes(person, "rabbitmq", THERE)


async def test_a_server_that_starts_without_either_says_so_and_is_ready(visit: Visit) -> None:
    person = await visit(
        REDIS_URL=f"redis://127.0.0.1:{free_port()}", RMQ_URL=f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    )

    for helper in ("redis", "rabbitmq"):
        await becomes(person, helper, AWAY)
    found = await readiness(person)
    assert (found["database"], found["schema"]) == (THERE, {"ok": True, "detail": "up to date"})
