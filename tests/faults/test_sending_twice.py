"""A send that comes many times, at once or later, by any way and to any process, is one message."""

import asyncio
import itertools
from typing import Any

import asyncpg
import pytest

from proof.lab.cluster import Cluster
from proof.lab.crowd import Actor, Client, Reply, clients, new_name, sign_up
from proof.lab.processes import Process
from proof.lab.waiting import happens

COPIES = 50


async def by_rest(client: Client, process: Process, chat: str, body: dict[str, Any]) -> Reply:
    return await client.asks(process, "POST", f"/v1/chats/{chat}/messages", body)


async def by_socket(socket: Any, chat: str, bodies: list[dict[str, Any]]) -> list[Reply]:
    """All under way before the first answer; shaped as REST would answer."""
    for number, body in enumerate(bodies):
        await socket.send_json({"type": "new_message", "ref": str(number), "chat_id": chat, **body})
    answers: list[Reply] = []
    while len(answers) < len(bodies):
        frame = await socket.receive_json()
        if frame["type"] == "ack":
            answers.append(Reply(200 if frame.get("replayed") else 201, frame["result"]))
        elif frame["type"] == "error":
            answers.append(Reply(frame["error"]["status"], frame["error"]))
    return answers


async def many_copies(
    client: Client, pair: tuple[Process, Process], chat: str, bodies: list[dict[str, Any]]
) -> list[Reply]:
    """A quarter of them by each way to each process, all at the same time."""
    quarter = len(bodies) // 4
    parts = [bodies[:quarter], bodies[quarter : 2 * quarter], bodies[2 * quarter : 3 * quarter], bodies[3 * quarter :]]
    async with asyncio.timeout(30), client.socket(pair[0]) as here, client.socket(pair[1]) as there:
        sockets = [by_socket(socket, chat, part) for socket, part in zip((here, there), parts[:2], strict=True)]
        rest = [by_rest(client, at, chat, body) for at, part in zip(pair, parts[2:], strict=True) for body in part]
        by_sockets, alone = await asyncio.gather(asyncio.gather(*sockets), asyncio.gather(*rest))
    return [*itertools.chain.from_iterable(by_sockets), *alone]


@pytest.mark.parametrize(
    "key", [{"client_id": "one and only"}, {"operation_id": -7}], ids=["client_id", "operation_id"]
)
async def test_fifty_copies_at_once_are_one_row_one_201_and_the_same_message(
    pair: tuple[Process, Process], cast: list[Actor], sql: asyncpg.Connection, key: dict[str, Any]
) -> None:
    async with clients(cast[0], cast[1]) as (alice, bob):
        for _ in range(5):
            chat = await alice.opens_chat(pair[0], new_name("chat"), [bob.actor])
            body = {"text": "pizza?", **key}

            answers = await many_copies(alice, pair, chat, [body] * COPIES)
            after = await bob.says(pair[1], chat, "yes")

            assert sorted(answer.status for answer in answers) == [200] * (COPIES - 1) + [201]
            first = next(answer.json for answer in answers if answer.status == 201)
            assert {(answer.json["message_id"], answer.json["seq"]) for answer in answers} == {(first["message_id"], 1)}
            assert all(answer.json["text"] == "pizza?" for answer in answers)
            assert after["seq"] == 2, "no number was burnt"
            assert int(after["message_id"]) == int(first["message_id"]) + 1, "and no position"
            assert await sql.fetchval("select count(*) from messages where chat_id = $1", int(chat)) == 2


async def test_of_two_bodies_under_one_key_one_wins_and_the_other_is_a_conflict_everywhere(
    pair: tuple[Process, Process], cast: list[Actor]
) -> None:
    async with clients(cast[0]) as (alice,):
        chat = await alice.opens_chat(pair[0], new_name("chat"))
        bodies = [{"text": ("pizza", "pasta")[number % 2], "client_id": "lunch"} for number in range(COPIES)]

        answers = await many_copies(alice, pair, chat, bodies)
        stored = await alice.reads_all(pair[1], chat)

        assert len(stored) == 1
        assert sorted(answer.status for answer in answers) == [200] * (COPIES // 2 - 1) + [201] + [409] * (COPIES // 2)
        assert {answer.json["text"] for answer in answers if answer.status < 400} == {stored[0]["text"]}
        assert {answer.json["code"] for answer in answers if answer.status == 409} == {"idempotency-conflict"}
        assert (await alice.says(pair[0], chat, "and then?"))["seq"] == 2


async def test_a_key_is_remembered_over_an_edit_and_a_restart_of_everything(cluster: Cluster) -> None:
    """`operation_id` has a memory of its own length: free again when that is over, even for another body."""
    one, two = await cluster.pair(OPERATION_ID_WINDOW="1", WORKERS_NUM="2")
    async with clients(*await sign_up(one, [new_name("alone")])) as (alice,):
        chat = await alice.opens_chat(one, new_name("chat"))
        sent = await alice.says(one, chat, "pizza?", client_id="lunch")
        by_number = await by_rest(alice, one, chat, {"text": "pasta?", "operation_id": 32767})
        numbered = await by_rest(alice, two, chat, {"text": "pasta?", "operation_id": 32767})
        edited = await alice.asks(two, "PATCH", f"/v1/chats/{chat}/messages/{sent['message_id']}", {"text": "Pizza!"})
        assert (by_number.status, numbered.status, edited.status) == (201, 200, 200)

        for process in (one, two):
            process.kill()
        cluster.kill_postgres()
        await asyncio.gather(*(process.start().ready() for process in (one, two)))
        answers = await many_copies(alice, (one, two), chat, [{"text": "pizza?", "client_id": "lunch"}] * 20)
        other = await by_rest(alice, two, chat, {"text": "Pizza!", "client_id": "lunch"})

        assert [answer.status for answer in answers] == [200] * 20
        assert {(answer.json["message_id"], answer.json["text"]) for answer in answers} == {
            (sent["message_id"], "Pizza!")
        }
        assert other.status == 409, "the body that counts is the one first sent"

        async def is_free() -> bool:
            again = await by_rest(alice, one, chat, {"text": "soup?", "operation_id": 32767})
            assert again.status in {409, 201}
            return again.status == 201

        await happens(is_free, "the end of the operation's window", 5)
        stored = await alice.reads_all(two, chat)
        assert [(message["seq"], message["text"]) for message in stored] == [(1, "Pizza!"), (2, "pasta?"), (3, "soup?")]
