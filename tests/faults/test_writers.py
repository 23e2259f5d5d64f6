"""Four workers of two servers share one that writes. Under load it is killed, stands still, is not found any more."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import psutil  # type: ignore[import-untyped]

from proof.lab.cluster import Cluster
from proof.lab.crowd import Actor, Client, Follower, clients, ends, new_name
from proof.lab.processes import frozen
from proof.lab.waiting import PATIENCE, happens, running
from tests.faults.test_kills import Journal, check, send_until_known
from tests.sizes import sized

ROUNDS = sized(3, least=1)
SENDERS = 40
STANDSTILL = 0.6  # longer than its guests wait for it


async def writer(cluster: Cluster) -> psutil.Process:
    async def is_elected() -> bool:
        return bool(cluster.writers())

    await happens(is_elected, "a writer", PATIENCE)
    return psutil.Process(min(cluster.writers()))


async def kill(cluster: Cluster) -> None:
    (await writer(cluster)).kill()


async def stop_for_a_while(cluster: Cluster) -> None:
    with frozen([await writer(cluster)]):
        await asyncio.sleep(STANDSTILL)


async def tidy_up(cluster: Cluster) -> None:
    for file in cluster.meetings():
        file.unlink()


FAULTS: list[Callable[[Cluster], Awaitable[None]]] = [kill, stop_for_a_while, tidy_up, kill]


async def test_whatever_befalls_the_writer_each_message_is_there_once_and_heard_once_in_one_order(
    cluster: Cluster, cast: list[Actor]
) -> None:
    places = await cluster.pair(WORKERS_NUM="2")
    choice, journal = random.Random(), Journal()
    async with clients(*cast) as (reader, *senders), asyncio.timeout(300), AsyncExitStack() as stack:
        chats = [await reader.opens_chat(places[0], new_name("chat"), [one.actor for one in senders]) for _ in range(3)]
        start = await reader.cursor(places[0])
        followers = [
            Follower(reader, way, start, lambda: choice.choice(places), ends)
            for way in ("socket", "socket", "sse", "poll")
        ]
        following = await stack.enter_async_context(running(*(one.follow() for one in followers)))
        for strike in FAULTS * ROUNDS:
            struck = asyncio.Event()

            async def keep_sending(sender: Client, struck: asyncio.Event = struck) -> None:
                while not struck.is_set():
                    await send_until_known(sender, places, choice.choice(chats), journal, choice)

            before = len(journal.acks)

            async def are_acked(before: int = before) -> bool:
                return len(journal.acks) > before + SENDERS

            sends = await stack.enter_async_context(
                running(*(keep_sending(choice.choice(senders)) for _ in range(SENDERS)))
            )
            await happens(are_acked, "acks", PATIENCE)
            await strike(cluster)
            before = len(journal.acks)
            await happens(lambda: are_acked(before), "acks again", PATIENCE)  # noqa: B023
            struck.set()
            await asyncio.gather(*sends)
        await reader.says(places[0], chats[0], "the end")
        await asyncio.wait(following, timeout=PATIENCE)
        stored = {chat: await reader.reads_all(places[1], chat) for chat in chats}

    check(journal, stored)
    for one in followers:
        assert one.is_at_end, f"{one.way} stays at {one.cursor}: {one.ends} {one.heard[-3:]}"
        assert not {"500", "1011"} & one.ends.keys(), one.ends
        for chat in chats:
            assert one.said_in(chat) == list(range(1, len(stored[chat]) + 1)), f"{one.way} {one.ends}"
