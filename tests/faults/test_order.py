"""One order for everybody: a reader, by any way and from any process, sees it grow without a hole."""

import asyncio
import random
from collections.abc import Sequence
from functools import partial

import asyncpg

from proof.lab.crowd import Actor, Client, Follower, clients, ends, new_name
from proof.lab.processes import Process
from tests.sizes import sized

SENDERS = 20
MESSAGES = sized(10_000)
WAYS = ("socket", "sse", "poll")


async def speak(client: Client, process: Process, chats: Sequence[str], most: int, by_socket: bool) -> None:
    """So many messages one after the other; by socket up to ten under way."""
    if not by_socket:
        for number in range(most):
            await client.says(process, chats[number % len(chats)], f"{number}")
        return
    async with client.socket(process) as socket:
        asked = answered = 0
        async for frame in socket:
            kind = frame.json()["type"]
            assert kind != "error", frame.data
            answered += kind == "ack"
            while asked < most and asked - answered < 10:
                chat = chats[asked % len(chats)]
                asked += 1
                await socket.send_json({"type": "new_message", "ref": str(asked), "chat_id": chat, "text": f"{asked}"})
            if answered == most:
                return


async def leaf_through(client: Client, process: Process, chat: str, until: asyncio.Event) -> list[tuple[int, int]]:
    """Polls `from=` as fast as it is answered, and never looks back."""
    found: list[tuple[int, int]] = []
    start = "1"
    while True:
        is_last = until.is_set()
        page = await client.get(process, f"/v1/chats/{chat}/messages?limit=200&from={start}")
        found += [(one["seq"], int(one["message_id"])) for one in page["messages"]]
        start = page["next"]["iterator"]
        if is_last and not page["messages"]:
            return found


async def test_every_reader_of_either_process_sees_one_log_grow_without_a_hole(
    pair: tuple[Process, Process], cast: list[Actor], sql: asyncpg.Connection
) -> None:
    """Of the chats `east` and `west` all senders are on one process and all readers on the other; in `both` on both."""
    here, there = pair
    async with clients(*cast) as people:
        reader, *senders = people
        members = [one.actor for one in senders]
        east, west, both = [await reader.opens_chat(here, new_name(name), members) for name in ("east", "west", "both")]
        start = await reader.cursor(here)
        before = await sql.fetchval("select max(position) from log_head")
        chats_of = {here: [east, both], there: [west, both]}
        spoken = asyncio.Event()
        followers = [Follower(reader, way, start, partial(random.choice, [at]), ends) for at in pair for way in WAYS]
        pages = {(at, chat): leaf_through(reader, at, chat, spoken) for at in pair for chat in (east, west, both)}

        async def everybody_speaks() -> None:
            each = MESSAGES // SENDERS
            async with asyncio.TaskGroup() as group:
                for number in range(SENDERS):
                    at = pair[number % 2]
                    group.create_task(speak(senders[number % 5], at, chats_of[at], each, by_socket=number % 4 > 1))
            await senders[0].says(here, both, "the end")
            spoken.set()

        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            reading = {place: group.create_task(one) for place, one in pages.items()}
            for one in followers:
                group.create_task(one.follow())
            group.create_task(everybody_speaks())

    async with clients(reader.actor) as (reader,):
        said = {chat: [one["seq"] for one in await reader.reads_all(here, chat)] for chat in (east, west, both)}
    assert sum(map(len, said.values())) == MESSAGES // SENDERS * SENDERS + 1
    for chat, numbers in said.items():
        assert numbers == list(range(1, len(numbers) + 1))
        for at in pair:
            seen = reading[at, chat].result()
            assert [seq for seq, _ in seen] == numbers, "a page that was read never gets a message later"
            assert [position for _, position in seen] == sorted(position for _, position in seen)
        for one in followers:
            assert one.said_in(chat) == numbers, one.way
    for one in followers:
        assert one.positions() == sorted(set(one.positions()))
        assert one.raw == followers[0].raw, "byte for byte the same by every way and from either process"
    after = await sql.fetchval("select max(position) from log_head")
    dense = await sql.fetch("select position from log where position > $1 and position <= $2 order by 1", before, after)
    assert [row["position"] for row in dense] == list(range(before + 1, after + 1))


async def test_sends_of_one_socket_that_wait_for_no_answer_are_stored_in_the_order_written(
    pair: tuple[Process, Process], cast: list[Actor]
) -> None:
    here, there = pair
    words = [str(random.random()) for _ in range(300)]
    async with clients(cast[0], cast[1]) as (alice, bob):
        chat = await alice.opens_chat(here, new_name("chat"), [bob.actor])
        async with alice.socket(here) as socket:
            for number, word in enumerate(words):
                frame = {"type": "new_message", "ref": str(number), "chat_id": chat, "text": word}
                await socket.send_json(frame)
            answered: list[str] = []
            async with asyncio.timeout(20):
                while len(answered) < len(words):
                    frame = await socket.receive_json()
                    answered += [frame["ref"]] if frame["type"] == "ack" else []

        stored = await bob.reads_all(there, chat)

    assert [one["text"] for one in stored] == words
    assert answered == [str(number) for number in range(len(words))]
