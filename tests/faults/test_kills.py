"""kill -9 of a worker, a server, PostgreSQL with many sends in flight: what was acknowledged is there, once."""

import asyncio
import random
import secrets
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from proof.lab.cluster import Cluster
from proof.lab.crowd import Actor, Client, Follower, Place, clients, ends, new_name
from proof.lab.processes import AWAY, Process
from proof.lab.waiting import PATIENCE, happens, running
from tests.sizes import sized

pytestmark = pytest.mark.usefixtures("impatient")

KILLS = sized(10, least=6)
SENDS = 150  # begun around each kill
IN_FLIGHT = 50
READY_WITHIN = 15.0  # bound of the test; what is measured is printed, and 5 s is what is promised


@dataclass
class Journal:
    """Every send by its key, and every acknowledgement."""

    keys: list[str] = field(default_factory=list)
    acks: list[dict[str, Any]] = field(default_factory=list)
    unknowns: int = 0

    @property
    def in_flight(self) -> int:
        return len(self.keys) - len(self.acks)


async def send_until_known(
    client: Client, processes: Sequence[Place], chat: str, journal: Journal, choice: random.Random
) -> None:
    """As a good client does: the same key again for as long as nobody says what became of it."""
    key = secrets.token_hex(8)
    journal.keys.append(key)
    body = {"text": f"text of {key}", "client_id": key}
    while True:
        try:
            path = f"/v1/chats/{chat}/messages"
            answer = await client.asks(choice.choice(processes), "POST", path, body, seconds=5)
        except AWAY:
            answer = None
        if answer is not None and answer.status in {200, 201}:
            journal.acks.append({"key": key, **answer.json})
            return
        assert answer is None or answer.status == 503, answer
        journal.unknowns += 1
        await asyncio.sleep(0.05)


async def test_what_was_acknowledged_survives_every_kill_and_nothing_is_doubled(
    cluster: Cluster,
    pair: tuple[Process, Process],
    cast: list[Actor],
    capsys: pytest.CaptureFixture[str],
) -> None:
    choice = random.Random()
    journal = Journal()
    here, there = pair
    took: dict[str, list[float]] = {}
    async with clients(*cast) as (reader, *senders), asyncio.timeout(300), AsyncExitStack() as stack:
        chats = [await reader.opens_chat(here, new_name("chat"), [one.actor for one in senders]) for _ in range(3)]
        start = await reader.cursor(here)
        followers = [
            Follower(reader, way, start, lambda: choice.choice(pair), ends) for way in ("socket", "sse", "poll")
        ]
        following = await stack.enter_async_context(running(*(one.follow() for one in followers)))
        for number in range(KILLS):
            what, kill, hit = kills(cluster, pair)[number % 3]

            struck = asyncio.Event()

            async def keep_sending(sender: Client, struck: asyncio.Event = struck) -> None:
                """Two messages, and more until somebody was killed."""
                sent = 0
                while sent < 2 or not struck.is_set():
                    await send_until_known(sender, pair, choice.choice(chats), journal, choice)
                    sent += 1

            before = len(journal.acks)
            sends = await stack.enter_async_context(
                running(*(keep_sending(choice.choice(senders)) for _ in range(SENDS // 2)))
            )

            async def is_under_way(before: int = before) -> bool:
                return len(journal.acks) > before + 10 and journal.in_flight >= IN_FLIGHT

            await happens(is_under_way, "many sends in flight", 10)
            assert journal.in_flight >= IN_FLIGHT
            kill()
            struck.set()
            took.setdefault(what, []).append(await recovery(reader, hit, chats[0]))
            await asyncio.gather(*sends)
            assert journal.in_flight == 0
        await reader.says(here, chats[0], "the end")
        await asyncio.wait(following, timeout=PATIENCE)
        stored = {chat: await reader.reads_all(there, chat) for chat in chats}

    with capsys.disabled():
        for what, times in took.items():
            print(f"\nready again after kill -9 of {what}: {', '.join(f'{one:.2f}' for one in times)} s", end="")
        print(f"\n{len(journal.acks)} acknowledged, {journal.unknowns} tries without an answer", end="")
    assert journal.unknowns > 0, "the kills hit somebody"
    check(journal, stored)
    for one in followers:
        assert one.is_at_end, f"{one.way} stays at {one.cursor}: {one.ends} {one.heard[-3:]}"
        assert not {"500", "1011"} & one.ends.keys(), one.ends
        for chat in chats:
            assert one.said_in(chat) == list(range(1, len(stored[chat]) + 1)), f"{one.way} {one.ends}"


def kills(cluster: Cluster, pair: tuple[Process, Process]) -> list[tuple[str, Callable[[], None], tuple[Process, ...]]]:
    """What is killed, how, and who has to come back."""
    here, there = pair

    def kill_server() -> None:
        there.kill()
        there.start()

    return [
        ("a worker", here.kill_workers, (here,)),
        ("a server", kill_server, (there,)),
        ("PostgreSQL", cluster.kill_postgres, pair),
    ]


async def recovery(client: Client, hit: tuple[Process, ...], chat: str) -> float:
    """Until each of them has acknowledged a send again."""

    async def one(process: Process) -> float:
        async def acknowledges() -> bool:
            try:
                body = {"text": "are you there?"}
                return (await client.asks(process, "POST", f"/v1/chats/{chat}/messages", body, seconds=2)).status == 201
            except AWAY:
                return False

        return await happens(acknowledges, f"an ack of port {process.port}", READY_WITHIN)

    return max(await asyncio.gather(*map(one, hit)))


def check(journal: Journal, stored: dict[str, list[dict[str, object]]]) -> None:
    """From the journal and from what the server says afterwards."""
    there = {
        (str(one["message_id"]), chat, one["seq"]): str(one["text"]) for chat, all_ in stored.items() for one in all_
    }
    lost = [ack for ack in journal.acks if (ack["message_id"], ack["chat_id"], ack["seq"]) not in there]
    assert not lost, f"acknowledged and lost: {lost[:5]}"
    for ack in journal.acks:
        assert there[ack["message_id"], ack["chat_id"], ack["seq"]] == f"text of {ack['key']}"
    texts = [text for text in there.values() if text.startswith("text of ")]
    assert sorted(texts) == sorted(f"text of {key}" for key in journal.keys), "each of them once"
    for messages in stored.values():
        assert [one["seq"] for one in messages] == list(range(1, len(messages) + 1))
        positions = [int(str(one["message_id"])) for one in messages]
        assert positions == sorted(set(positions))


async def test_positions_are_dense_after_all_that(cluster: Cluster, sql: asyncpg.Connection) -> None:
    """Nothing taken, nothing left out: a reader of one position has read all before it."""
    row = await sql.fetchrow("select count(*) as n, count(distinct position) as d, max(position) as head from log")
    assert row["n"] == row["d"] == row["head"] == await sql.fetchval("select max(position) from log_head")
