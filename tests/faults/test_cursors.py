"""A client that keeps only its cursor ends with exactly the log of its chats, however often it is cut off."""

import asyncio
import itertools
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from redis import asyncio as redis

from proof.lab.cluster import Cluster
from proof.lab.crowd import Actor, Client, Follower, clients, ends, new_name
from proof.lab.processes import AWAY, Process
from proof.lab.redis import Valkey
from proof.lab.waiting import happens, running
from tests.sizes import sized

MESSAGES = sized(5_000)
CUTS = sized(20, least=16)  # of each of the three ways
WAYS = ("socket", "sse", "poll")
SPEAKERS = 4


async def live_a_day(
    speakers: Sequence[Client], pair: Sequence[Process], chats: Sequence[str], is_enough: Callable[[int], bool]
) -> None:
    """Many messages, and between them whatever else happens in chats; by everybody, on both processes."""
    numbers = itertools.count(1)

    async def one(me: Client, choice: random.Random) -> None:
        while not is_enough(number := next(numbers)):
            at, chat = choice.choice(pair), choice.choice(chats)
            place = f"/v1/chats/{chat}/messages"
            said = await me.says(at, chat, f"{number}")
            if number % 20 == 0:
                await me.asks(at, "PATCH", f"{place}/{said['message_id']}", {"text": "edited"})
            elif number % 20 == 5:
                await me.asks(at, "PUT", f"{place}/{said['message_id']}/reactions/👍")
            elif number % 20 == 10:
                await me.asks(at, "POST", f"/v1/chats/{chat}/read", {"message_id": said["message_id"]})
            elif number % 20 == 15:
                await me.asks(at, "DELETE", f"{place}/{said['message_id']}")
            elif number % 100 == 1:
                await me.asks(at, "PATCH", f"/v1/chats/{chat}", {"chat_name": new_name("renamed")})

    await asyncio.gather(*(one(me, random.Random(number)) for number, me in enumerate(speakers)))
    await speakers[0].says(pair[0], chats[0], "the end")


async def cut_again_and_again(
    pair: tuple[Process, Process],
    cast: Sequence[Actor],
    sql: asyncpg.Connection,
    *,
    cuts: int = CUTS,
    messages: int = MESSAGES,
    at_half: Callable[[], None] = lambda: None,
) -> None:
    seed = random.randrange(2**32)
    choice = random.Random(seed)
    async with clients(*cast[: SPEAKERS + 1]) as (reader, *speakers):
        members = [one.actor for one in speakers]
        chats = [await reader.opens_chat(pair[0], new_name("chat"), members) for _ in range(3)]
        for me, chat in itertools.product(speakers, chats):  # admins may rename
            path = f"/v1/chats/{chat}/members/{me.actor.user_id}"
            assert (await reader.asks(pair[0], "PATCH", path, {"role": "admin"})).status == 200
        start = await reader.cursor(pair[0])
        followers = [Follower(reader, way, start, lambda: choice.choice(pair), ends) for way in WAYS]
        step = max(2, messages // cuts)
        plans = {one.way: [choice.randrange(step) for _ in range(cuts)] for one in followers}
        halves = iter([at_half])

        def is_enough(number: int) -> bool:
            if number > messages // 2:
                next(halves, lambda: None)()
            return number > messages and all(one.cuts >= cuts for one in followers)

        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for one in followers:
                group.create_task(one.follow(plans[one.way]))
            group.create_task(live_a_day(speakers, pair, chats, is_enough))

    place = int(start.partition(".")[2])
    rows = await sql.fetch(LOG_OF, place, [int(chat) for chat in chats], int(reader.actor.user_id))
    expected = [(row["position"], row["kind"]) for row in rows]
    assert len(expected) > messages
    for one in followers:
        assert one.cuts == cuts, f"{one.way} seed={seed}"
        heard = list(zip(one.positions(), [event["type"] for event in one.heard], strict=True))
        assert heard == expected, f"{one.way} seed={seed} ends={one.ends} {differences(heard, expected)}"


def differences(heard: list[tuple[int, str]], expected: list[tuple[int, str]]) -> str:
    lost, strange = sorted(set(expected) - set(heard)), sorted(set(heard) - set(expected))
    return f"lost {len(lost)} {lost[:5]}, strange {strange[:5]}, twice {len(heard) - len(set(heard))}"


# Written anew here, not the server's own query: everything of these chats that is for everybody or for this person.
LOG_OF = """
    select position, kind from log
     where position > $1 and topic_chat = any($2) and coalesce(data -> 'to' @> to_jsonb($3::bigint), true)
     order by position
"""


async def test_a_client_cut_at_random_moments_ends_with_exactly_the_log_of_its_chats(
    pair: tuple[Process, Process], cast: list[Actor], sql: asyncpg.Connection
) -> None:
    await cut_again_and_again(pair, cast, sql)


async def test_without_any_doorbell_it_only_takes_longer(
    cluster: Cluster, cast: list[Actor], sql: asyncpg.Connection
) -> None:
    pair = await cluster.pair(WIRE="none")
    async with counting_doorbells(pair) as dropped:
        await cut_again_and_again(pair, cast, sql, cuts=8, messages=MESSAGES // 2)

        assert await dropped("without a wire") > 0


async def test_with_redis_killed_in_the_middle_it_only_takes_longer(
    cluster: Cluster, cast: list[Actor], sql: asyncpg.Connection, tmp_path: Path
) -> None:
    valkey = Valkey(tmp_path).start()
    try:
        pair = await cluster.pair(WIRE="redis", REDIS_URL=valkey.url)
        await is_their_wire(valkey.url)

        async with counting_doorbells(pair) as dropped:
            await cut_again_and_again(pair, cast, sql, cuts=8, messages=MESSAGES // 2, at_half=valkey.kill)

            assert valkey.popen is not None and valkey.popen.returncode < 0, "it was killed"
            assert await dropped("with Redis killed in the middle") > 0
        for one in pair:
            one.kill()
    finally:
        valkey.kill()


@asynccontextmanager
async def counting_doorbells(pair: Sequence[Process]) -> AsyncIterator[Callable[[str], Awaitable[int]]]:
    """How many doorbells did not arrive since: of two processes each should hear whatever the other one rings."""
    async with aiohttp.ClientSession() as http:

        async def total(name: str) -> int:
            pages = [await (await http.get(f"{process.url}/metrics")).text() for process in pair]
            (ours, theirs) = (re.findall(rf"^{name} (\S+)$", page, re.MULTILINE) for page in pages)
            return int(float(ours[0]) + float(theirs[0]))

        async def counted() -> list[int]:
            return [await total(f"messenger_doorbells_{what}_total") for what in ("rung", "heard")]

        before = await counted()

        async def dropped(how: str) -> int:
            rung, heard = (now - then for now, then in zip(await counted(), before, strict=True))
            print(f"doorbells {how}: {rung} rung, {heard} heard, {rung - heard} dropped")
            return rung - heard

        yield dropped


async def is_their_wire(url: str) -> None:
    """Both processes listen there before it is taken away."""
    client = redis.from_url(url)

    async def both_listen() -> bool:
        try:
            return [number for _, number in await client.pubsub_numsub("messenger:log")] == [2]
        except (redis.RedisError, *AWAY):
            return False

    try:
        await happens(both_listen, "two listeners on the wire", 10)
    finally:
        await client.close()
        await client.connection_pool.disconnect()


@pytest.mark.parametrize("way", WAYS)
async def test_a_burst_between_two_looks_is_heard_whole(
    cluster: Cluster, cast: list[Actor], sql: asyncpg.Connection, way: str
) -> None:
    """Without doorbells the other process reads many entries at once, more than a listener's queue holds."""
    here, there = await cluster.pair(WIRE="none")
    async with clients(*cast[:2]) as (alice, bob), asyncio.timeout(30), AsyncExitStack() as stack:
        chat = await alice.opens_chat(here, new_name("chat"), [bob.actor])
        bobs = Follower(bob, way, await bob.cursor(there), lambda: there, ends)
        (following,) = await stack.enter_async_context(running(bobs.follow()))
        for burst in range(3):
            async with alice.socket(here) as pipe:
                for number in range(900):
                    frame = {"type": "new_message", "ref": str(number), "chat_id": chat, "text": f"{burst}.{number}"}
                    await pipe.send_json(frame)
                answered = 0
                while answered < 900:
                    answered += (await pipe.receive_json())["type"] == "ack"
        await alice.says(here, chat, "the end")

        await following

        assert bobs.said_in(chat) == list(range(1, 2702))
