"""Two workers hold one limit together, with and without Redis; and each its own while nobody brings them together."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from messenger.apps.throttling import limit_sync
from messenger.apps.throttling.limits import Limits
from messenger.apps.throttling.middleware import COUNTS
from messenger.errors import TooManyRequests
from tests.actors import Person, Server
from tests.log.test_wires import eventually, running_valkey

SECONDS = 8.0
FIRST, REFILL = 10, 1
TENTH = 0.1
PACE = 0.02


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that runs the tests is busy: there the store may take longer before each worker counts for itself."""
    monkeypatch.setattr(limit_sync, "PATIENCE", 5.0)


@pytest.fixture(params=["postgres", "redis"])
async def pair(request, start: Callable[..., Awaitable[Server]], tmp_path) -> AsyncIterator[list[Server]]:
    rules = {"THROTTLE_SEND": f"{FIRST}/{REFILL}s", "WORKERS_NUM": "2", "LOGIN_TRIES": "3"}
    if request.param == "postgres":
        yield [await start(**rules) for _ in range(2)]
        return
    async with running_valkey(tmp_path) as (url, _):
        yield [await start(**rules, WIRE="postgres", REDIS_URL=url) for _ in range(2)]


def limits_of(server: Server) -> Limits:
    return server.runner.app[COUNTS]


async def says(person: Person, chat: str, server: Server) -> int:
    return (await person.post(f"/v1/chats/{chat}/messages", {"text": "spam"}, server=server)).status


async def spoken(person: Person, chat: str) -> int:
    return len((await person.get(f"/v1/chats/{chat}/messages?limit=1000")).expecting(200).json["messages"])


async def test_together_they_let_as_much_pass_as_one_alone(pair):
    async with Person.registered(pair[0], "alice") as alice, Person.registered(pair[1], "bob") as bob:
        chat = await alice.opens_chat("lunch", [bob])
        began = time.monotonic()
        statuses = []

        while (now := time.monotonic()) < began + SECONDS:
            statuses.append(await says(alice, chat, pair[len(statuses) % 2]))
            await asyncio.sleep(max(0.0, now + PACE - time.monotonic()))

        allowed = FIRST + REFILL * (time.monotonic() - began)
        assert allowed * (1 - TENTH) - 1 <= statuses.count(201) <= allowed * (1 + TENTH)
        assert set(statuses) == {201, 429}
        assert await spoken(alice, chat) == statuses.count(201)
        assert [await says(bob, chat, server) for server in pair] == [201, 201]


async def test_a_burst_over_both_of_them_is_no_larger_than_over_one(pair):
    async with Person.registered(pair[0], "alice") as alice, Person.registered(pair[1], "bob") as bob:
        chat = await alice.opens_chat("lunch", [bob])
        assert [await says(bob, chat, server) for server in pair] == [201, 201]  # connections are made, all is warm
        await eventually(lambda: all(limits_of(server).send.waits for server in pair), within=30)
        began = time.monotonic()

        statuses = await asyncio.gather(*(says(alice, chat, pair[number % 2]) for number in range(60)))

        allowed = FIRST + REFILL * (time.monotonic() - began)
        assert FIRST <= statuses.count(201) <= allowed * (1 + TENTH)


async def test_who_speaks_slowly_to_each_of_them_has_no_more_than_from_one(pair):
    """Neither of the two alone would see anything of note in ten messages in nine seconds."""
    began, said = time.monotonic(), 0

    with pytest.raises(TooManyRequests):
        while time.monotonic() < began + 30:
            for server in pair:
                await limits_of(server).send.enter(4711)
                said += 1
            await asyncio.sleep(0.9 / REFILL)

    allowed = FIRST + REFILL * (time.monotonic() - began)
    assert allowed * (1 - TENTH) - 1 <= said <= allowed * (1 + TENTH) + 1


async def test_without_redis_each_counts_for_itself_and_with_it_both_together_again(start, tmp_path):
    rules = {"THROTTLE_SEND": "10/0.1s", "WORKERS_NUM": "2", "LOGIN_TRIES": "3", "WIRE": "postgres"}
    async with running_valkey(tmp_path) as (url, valkey):
        port = int(url.rpartition(":")[2])
        pair = [await start(**rules, REDIS_URL=url) for _ in range(2)]
        async with Person.registered(pair[0], "alice") as alice, Person.registered(pair[1], "bob") as bob:
            chat = await alice.opens_chat("lunch", [bob])
            valkey.kill()
            valkey.wait()

            statuses, slowest = [], 0.0
            for number in range(40):
                began = time.monotonic()
                statuses.append(await says(alice, chat, pair[number % 2]))
                slowest = max(slowest, time.monotonic() - began)

            assert 2 * FIRST <= statuses.count(201) <= 2 * FIRST + 2, "ten on each of them"
            assert slowest < 5, "a dead Redis is not waited for"
            guess = {"user_name": "bob", "password": "a guess"}
            assert [(await alice.post("/v1/auth/login", guess)).status for _ in range(4)] == [401, 401, 401, 429]

        async with running_valkey(tmp_path, port), Person.registered(pair[0], "carol") as carol:
            chat = await carol.opens_chat("dinner")
            number = int(carol.user_id)
            for _ in range(FIRST - 2):
                await says(carol, chat, pair[0])
            await eventually(lambda: told(pair, number), within=30)


def told(pair: list[Server], person: int) -> bool:
    """The second one asks, by spending; until it has heard of what the first one let pass."""
    limit = limits_of(pair[1]).send
    if limit.state(person)[0] > FIRST - 3:
        limit.passes(person)
    return limit.state(person)[0] <= 3
