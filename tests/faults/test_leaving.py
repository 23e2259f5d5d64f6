"""Who is removed hears nothing of it any more, and a session that ended is over on every process."""

import asyncio
import random
import time
from contextlib import AsyncExitStack
from functools import partial

import aiohttp
import asyncpg
import pytest

from proof.lab.cluster import Cluster
from proof.lab.crowd import Actor, Client, Follower, clients, cut, new_name, sign_in, sign_up
from proof.lab.processes import AWAY, Process
from proof.lab.waiting import running
from tests.sizes import sized
from tests.waits import waiters_of

ROUNDS = sized(100, least=15)
WAYS = ("socket", "sse", "poll")


async def test_nothing_after_a_removal_reaches_the_removed_by_any_way(
    pair: tuple[Process, Process], cast: list[Actor], sql: asyncpg.Connection
) -> None:
    choice = random.Random()
    async with (
        clients(*cast[:4]) as (alice, bob, carol, dave),
        asyncio.timeout(120),
        AsyncExitStack() as stack,
    ):
        chat = await alice.opens_chat(pair[0], new_name("chat"), [carol.actor, dave.actor])
        members = f"/v1/chats/{chat}/members"
        start = await bob.cursor(pair[0])
        listeners = [Follower(bob, way, start, partial(random.choice, [at])) for way in WAYS for at in pair]
        listening = await stack.enter_async_context(running(*(one.follow() for one in listeners)))
        memberships: list[tuple[int, int]] = []
        said = 0
        for number in range(ROUNDS):
            before = await bob.cursor(pair[0])
            await alice.post(choice.choice(pair), members, {"user_ids": [bob.actor.user_id]})
            is_removed, is_enough = asyncio.Event(), asyncio.Event()
            looks = await stack.enter_async_context(running(*(leaf(bob, at, chat, said, is_removed) for at in pair)))
            peeks = await stack.enter_async_context(running(*(peek(bob, at, is_removed) for at in pair)))
            talk = await stack.enter_async_context(
                running(*(chatter(one, at, chat, is_enough) for one, at in zip((carol, dave), pair, strict=True)))
            )
            for _ in range(choice.randrange(1, 4)):
                await alice.says(choice.choice(pair), chat, "still with us")
            answer = await alice.asks(choice.choice(pair), "DELETE", f"{members}/{bob.actor.user_id}")
            assert answer.status == 204, answer
            for at in pair:
                said = (await alice.says(at, chat, "now that we are among ourselves"))["seq"]
            for at in pair:
                gone = await bob.asks(at, "GET", f"/v1/chats/{chat}/messages?limit=1")
                assert gone.status == 404, "at once, on every process"
            is_removed.set()
            is_enough.set()
            await asyncio.gather(*talk)
            row = await sql.fetchrow(LAST_MEMBERSHIP, int(chat), int(bob.actor.user_id))
            memberships.append((row["joined"], row["removed"]))

            for found in await asyncio.gather(*looks):
                assert max(found, default=0) < row["removed"], f"history, round {number}"
            for states in await asyncio.gather(*peeks):
                for place, chats in states:
                    assert chat not in chats or place < row["removed"], f"sync, round {number}"
            way = choice.choice(WAYS)
            late = Follower(bob, way, before, lambda: choice.choice(pair), lambda event: is_removal(event, chat))
            await late.follow()
            assert [one["type"] for one in late.heard if one.get("chat_id") == chat] == ["member_removed"], way

        end = memberships[-1][1]
        while any(int(one.cursor.partition(".")[2]) < end for one in listeners):
            await asyncio.sleep(0.01)
        assert not any(one.done() for one in listening)

    for one in listeners:
        removals = [int(event["cursor"].partition(".")[2]) for event in one.heard if is_removal(event, chat)]
        assert removals == [removed for _, removed in memberships], f"{one.way} hears of every removal"
        places = [
            place for place, event in zip(one.positions(), one.heard, strict=True) if event.get("chat_id") == chat
        ]
        for place in places:
            assert any(joined <= place <= removed for joined, removed in memberships), f"{one.way}: {place}"
        assert len(places) > 2 * ROUNDS


LAST_MEMBERSHIP = """
    select max(position) filter (where kind = 'member_added') as joined,
           max(position) filter (where kind = 'member_removed') as removed
      from log_entries where topic_chat = $1 and topic_user = $2
"""


def is_removal(event: dict[str, object], chat: str) -> bool:
    return event["type"] == "member_removed" and event["chat_id"] == chat


async def chatter(client: Client, process: Process, chat: str, is_enough: asyncio.Event) -> None:
    while not is_enough.is_set():
        await client.says(process, chat, "…")


async def leaf(client: Client, process: Process, chat: str, said: int, is_removed: asyncio.Event) -> list[int]:
    """Everything that both histories show until the door is shut."""
    found: list[int] = []
    start = str(said + 1)
    while not is_removed.is_set():
        page = await client.asks(process, "GET", f"/v1/chats/{chat}/messages?limit=1000&from={start}")
        if page.status == 200:
            found += [int(one["message_id"]) for one in page.json["messages"]]
            start = page.json["next"]["iterator"]
        page = await client.asks(process, "GET", f"/v1/history/{chat}?limit=100&offset={int(start) - 1}")
        if page.status == 200:
            found += [int(one["message_id"]) for one in page.json]
    return found


async def peek(client: Client, process: Process, is_removed: asyncio.Event) -> list[tuple[int, list[str]]]:
    found = []
    while not is_removed.is_set():
        state = await client.get(process, "/v1/sync")
        found.append((int(state["cursor"].partition(".")[2]), [one["chat_id"] for one in state["chats"]]))
    return found


@pytest.mark.parametrize("path", ["/v1/chats/{}/messages?limit=10", "/v1/history/{}?limit=10"])
async def test_a_page_that_waited_while_its_reader_was_removed_shows_nothing_said_after_it(
    pair: tuple[Process, Process], cast: list[Actor], sql: asyncpg.Connection, path: str
) -> None:
    """The page is stopped between the look at the membership and the look at the messages."""
    here, there = pair
    async with clients(*cast[:2]) as (alice, bob), asyncio.timeout(20):
        chat = await alice.opens_chat(here, new_name("chat"), [bob.actor])
        await alice.says(here, chat, "still with us")
        stranger = sql.transaction()
        await stranger.start()
        await sql.execute("lock table reactions in access exclusive mode")
        page = asyncio.create_task(bob.asks(there, "GET", path.format(chat)))
        while not await sql.fetchval(WAITS_FOR_REACTIONS):
            await asyncio.sleep(0.01)
        removal = await alice.asks(here, "DELETE", f"/v1/chats/{chat}/members/{bob.actor.user_id}")
        await alice.says(here, chat, "now that we are among ourselves")
        await stranger.rollback()
        answer = await page

    assert removal.status == 204
    assert answer.status in {200, 404}
    if answer.status == 200:
        messages = answer.json if isinstance(answer.json, list) else answer.json["messages"]
        assert [one["text"] for one in messages] == ["still with us"]


WAITS_FOR_REACTIONS = f"select exists ({waiters_of('reactions')})"


@pytest.mark.parametrize("wire", ["auto", "none"])
async def test_a_logout_ends_the_session_on_every_process(
    cluster: Cluster, wire: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = await (cluster.pair() if wire == "auto" else cluster.pair(WIRE="none"))
    actor, *_ = await sign_up(here, [new_name("leaver")])
    other = await sign_in(here, actor.name)
    took = []
    async with clients(actor, other) as (alice, elsewhere), AsyncExitStack() as stack, asyncio.timeout(60):
        sockets = [await stack.enter_async_context(alice.socket(at)) for at in (here, there) for _ in range(5)]
        kept = await stack.enter_async_context(elsewhere.socket(there))
        for socket in (*sockets, kept):
            assert [(await socket.receive_json())["type"] for _ in range(2)] == ["hello", "ready"]
        stream = await alice.http.get(f"{there.url}/v1/events?format=sse", headers=alice.actor.headers)
        stack.callback(cut, stream)

        answer = await alice.asks(here, "POST", "/v1/auth/logout")
        ended = time.monotonic()
        refused = [await alice.asks(at, "GET", "/v1/chats") for at in (there, here)]
        for socket in sockets:
            assert (await socket.receive_json())["type"] == "session_revoked"
            frame = await socket.receive()
            assert (frame.type, frame.data) == (aiohttp.WSMsgType.CLOSE, 4502), frame
            took.append(time.monotonic() - ended)
        await until_it_ends(stream)
        took.append(time.monotonic() - ended)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            async with alice.socket(there):
                pytest.fail("a socket was opened after the logout")
        chat = await elsewhere.opens_chat(here, new_name("chat"))
        heard = [await kept.receive_json() for _ in range(3)]

    assert answer.status == 200
    assert [(one.status, one.json["code"]) for one in refused] == [(401, "session-revoked")] * 2
    assert [one["type"] for one in heard] == ["session_revoked", "member_added", "chat_created"], "the other goes on"
    assert heard[-1]["chat_id"] == chat
    with capsys.disabled():
        print(f"\nsockets and streams of an ended session closed within {max(took):.2f} s (wire={wire})", end="")
    assert max(took) < 5


async def until_it_ends(stream: aiohttp.ClientResponse) -> None:
    try:
        async for _ in stream.content:
            pass
    except AWAY:
        return
