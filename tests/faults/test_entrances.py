"""A message from any entrance of one process reaches every kind of listener on both."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg

from proof.lab.crowd import Actor, Client, clients, new_name
from proof.lab.processes import Process
from proof.lab.waiting import PATIENCE

Hear = Callable[[], Awaitable[str]]  # the words of the next message


@asynccontextmanager
async def frames(client: Client, process: Process, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with client.http.ws_connect(process.url + path, headers=client.actor.headers) as socket:
        yield socket


def words(frame: dict[str, Any]) -> str | None:
    """Of a message, by any of the events that carry it."""
    if frame.get("type") == "new_message":
        return str(frame["message"]["text"])
    if frame.get("event_type") == "new_message" or frame.get("type") == "Message":
        return str(frame["text"])
    return None


def hearing(socket: aiohttp.ClientWebSocketResponse) -> Hear:
    async def hear() -> str:
        while True:
            found = words(await socket.receive_json(timeout=PATIENCE))
            if found is not None:
                return found

    return hear


def hearing_lines(response: aiohttp.ClientResponse) -> Hear:
    async def hear() -> str:
        async with asyncio.timeout(PATIENCE):
            async for line in response.content:
                found = words(json.loads(line)) if line.strip() else None
                if found is not None:
                    return found
        raise AssertionError("the stream ended")

    return hear


async def listens(stack: AsyncExitStack, client: Client, process: Process, chat: str) -> dict[str, Hear]:
    """Every kind of listener of this person in one process, each of them live."""
    port = process.port
    found: dict[str, Hear] = {}
    v1 = await stack.enter_async_context(client.socket(process))
    while (await v1.receive_json(timeout=PATIENCE))["type"] != "ready":
        pass
    found[f"/v1/ws {port}"] = hearing(v1)
    cursor = await client.cursor(process)
    stream = await stack.enter_async_context(
        client.http.get(f"{process.url}/v1/events?format=ndjson&after={cursor}", headers=client.actor.headers)
    )
    found[f"/v1/events {port}"] = hearing_lines(stream)
    for path in ("/chats/ws", f"/ws/{chat}"):
        older = await stack.enter_async_context(frames(client, process, path))
        await older.send_str("{}")  # answered once it is live
        assert (await older.receive_json(timeout=PATIENCE))["status"] == "error"
        found[f"{path} {port}"] = hearing(older)
    return found


async def test_a_message_from_any_entrance_reaches_every_kind_of_listener_in_every_process(
    pair: tuple[Process, Process], cast: list[Actor], sql: asyncpg.Connection
) -> None:
    here, there = pair
    async with AsyncExitStack() as stack:
        alice, bob = await stack.enter_async_context(clients(cast[0], cast[1]))
        body = {"name": new_name("group"), "participant_user_ids": [int(bob.actor.user_id)]}
        chat = str((await alice.post(here, "/group", body))["chat_id"])
        heard = await listens(stack, bob, here, chat) | await listens(stack, bob, there, chat)
        hers = await stack.enter_async_context(alice.socket(here))
        older = await stack.enter_async_context(frames(alice, here, "/chats/ws"))
        room = await stack.enter_async_context(frames(alice, here, f"/ws/{chat}"))
        send = "select messenger.send($1, $2, $3)"
        entrances: dict[str, Callable[[], Awaitable[Any]]] = {
            "REST /v1": lambda: alice.says(here, chat, "REST /v1"),
            "socket /v1": lambda: hers.send_json({"type": "new_message", "chat_id": chat, "text": "socket /v1"}),
            "SQL": lambda: sql.fetchval(send, int(chat), int(alice.actor.user_id), "SQL"),
            "older REST": lambda: alice.post(here, f"/messages/group/{chat}", {"text": "older REST"}),
            "older socket": lambda: older.send_json(
                {"type": "new_message", "chat_id": int(chat), "text": "older socket"}
            ),
            "room": lambda: room.send_json({"action": "send_message", "message_id": str(uuid4()), "text": "room"}),
        }

        for text, enter in entrances.items():
            await enter()
            for listener, hear in heard.items():
                assert await hear() == text, listener


async def test_an_operation_sent_to_two_processes_at_once_is_one_message_and_one_answer(
    pair: tuple[Process, Process], cast: list[Actor], sql: asyncpg.Connection
) -> None:
    async with clients(cast[0], cast[1]) as (alice, bob):
        made = {"name": new_name("group"), "participant_user_ids": [int(bob.actor.user_id)]}
        group = (await alice.post(pair[0], "/group", made))["group_id"]
        body = {"text": "pizza?", "operation_id": 17}

        answers = await asyncio.gather(
            *(alice.asks(pair[number % 2], "POST", f"/messages/group/{group}", body) for number in range(20))
        )

        assert [answer.status for answer in answers] == [200] * 20
        assert all(answer.json == answers[0].json for answer in answers)
        assert await sql.fetchval("select count(*) from messages where chat_id = $1", group) == 1


async def test_one_uuid_in_two_processes_at_once_is_one_message_and_one_error(
    pair: tuple[Process, Process], cast: list[Actor], sql: asyncpg.Connection
) -> None:
    async with clients(cast[0], cast[1]) as (alice, bob):
        made = {"name": new_name("group"), "participant_user_ids": [int(bob.actor.user_id)]}
        chat = (await alice.post(pair[0], "/group", made))["chat_id"]
        frame = {"action": "send_message", "message_id": str(uuid4()), "text": "pizza?"}
        async with frames(alice, pair[0], f"/ws/{chat}") as here, frames(alice, pair[1], f"/ws/{chat}") as there:
            await asyncio.gather(here.send_json(frame), there.send_json(frame))

            heard = [await hearer.receive_json(timeout=PATIENCE) for hearer in (here, there)]
            heard += [await next_of(here, there)]

        told = [one["message_id"] for one in heard if "message_id" in one]
        assert told == [frame["message_id"]] * 2
        assert [one["status"] for one in heard if "status" in one] == ["error"]
        assert await sql.fetchval("select count(*) from messages where chat_id = $1", chat) == 1


async def next_of(*sockets: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    """The next frame of whichever has one."""
    waiting = [asyncio.create_task(one.receive_json()) for one in sockets]
    done, left = await asyncio.wait(waiting, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    for one in left:
        one.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return dict(done.pop().result())
