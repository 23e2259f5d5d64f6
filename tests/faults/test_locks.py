"""A stranger's open transaction on one chat is that chat's trouble alone."""

import asyncio
import time

import asyncpg

from proof.lab.cluster import Cluster
from proof.lab.crowd import Actor, Client, clients, new_name
from proof.lab.processes import Process

EACH = 30


async def test_a_locked_chat_waits_and_the_others_do_not(
    cluster: Cluster, pair: tuple[Process, Process], cast: list[Actor], sql: asyncpg.Connection
) -> None:
    """Sends to both from both processes; the locked ones arrive after the stranger's end, each sender's in order."""
    here, there = pair
    async with clients(cast[0], cast[1]) as (alice, bob), asyncio.timeout(60):
        locked, *free = [await alice.opens_chat(here, new_name("chat"), [bob.actor]) for _ in range(3)]
        async with alice.socket(here) as hers, bob.socket(there) as his:
            stranger = sql.transaction()
            await stranger.start()
            await sql.execute("select 1 from chats where id = $1 for update", int(locked))
            delayed = []
            for socket, name in ((hers, "alice"), (his, "bob")):
                for number in range(EACH):
                    text = f"{name} {number}"
                    frame = {"type": "new_message", "ref": text, "chat_id": locked, "text": text, "client_id": text}
                    await socket.send_json(frame)
                    delayed.append(text)

            slowest = max(
                [
                    await timed(client, at, chat)
                    for _ in range(10)
                    for client, at in ((alice, here), (bob, there))
                    for chat in free
                ]
            )
            assert await sql.fetchval("select head_seq from chats where id = $1", int(locked)) == 0
            late = asyncio.create_task(bob.says(here, locked, "late"))
            await asyncio.sleep(0)
            await stranger.commit()

            acks = [await answers(socket, EACH) for socket in (hers, his)]
            last = await late

        stored = await bob.reads_all(there, locked)
        again = await bob.says(there, locked, "as if nothing had been")

    assert slowest < 2, "a free chat is not held up for longer than the server needs to notice"
    assert [[ack["text"] for ack in one] for one in acks] == [delayed[:EACH], delayed[EACH:]]
    assert [one["seq"] for one in stored] == list(range(1, 2 * EACH + 2))
    for name in ("alice", "bob"):
        said = [one["text"] for one in stored if one["text"].startswith(name)]
        assert said == [f"{name} {number}" for number in range(EACH)]
    assert last["text"] == "late"
    assert again["seq"] == 2 * EACH + 2


async def test_what_waits_for_a_locked_chat_outlives_a_kill_of_postgresql(
    cluster: Cluster, pair: tuple[Process, Process], cast: list[Actor]
) -> None:
    here, there = pair
    async with clients(cast[0], cast[1]) as (alice, bob), asyncio.timeout(60):
        locked, free = [await alice.opens_chat(here, new_name("chat"), [bob.actor]) for _ in range(2)]
        stranger = await asyncpg.connect(cluster.dsn)
        try:
            await stranger.execute("begin")
            await stranger.execute("select 1 from chats where id = $1 for update", int(locked))
            async with alice.socket(here) as socket:
                words = [str(number) for number in range(EACH)]
                for text in words:
                    frame = {"type": "new_message", "ref": text, "chat_id": locked, "text": text, "client_id": text}
                    await socket.send_json(frame)
                await alice.says(here, free, "they wait in a queue of their own now")
                cluster.kill_postgres()

                acks = await answers(socket, EACH)
        finally:
            stranger.terminate()

        await there.ready()
        stored = await bob.reads_all(there, locked)

    assert [ack["text"] for ack in acks] == words
    assert [(one["seq"], one["text"]) for one in stored] == [(number + 1, text) for number, text in enumerate(words)]


async def timed(client: Client, process: Process, chat: str) -> float:
    began = time.monotonic()
    await client.says(process, chat, "to a free chat")
    return time.monotonic() - began


async def answers(socket: object, most: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    while len(found) < most:
        frame = await socket.receive_json()  # type: ignore[attr-defined]
        assert frame["type"] != "error", frame
        assert not frame.get("replayed"), (
            "what the server itself tried again is no replay to a client that sent it once"
        )
        found += [frame["result"]] if frame["type"] == "ack" else []
    return found
