"""The two sockets of older clients: what is said and heard on them, who may open them, and why they end."""

import asyncio
import json
import logging
import time
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from messenger.app import create_app
from messenger.apps.classic.sockets import CONTEXT, PACE
from messenger.log.log import READERS
from messenger.web.app_keys import LOG
from messenger.web.server import make_runner
from messenger.web.sockets.links import Pace
from tests.actors import Person, Server
from tests.apps.classic.older import RefusedUpgrade, all_chats, group, one_chat, opened, settled
from tests.apps.talk import fill, says

pytestmark = pytest.mark.shared


async def test_a_message_goes_to_every_socket_of_everybody_also_the_one_that_said_it(
    alice: Person, bob: Person, mallory: Person
) -> None:
    lunch = await group(alice, bob)
    async with all_chats(alice) as hers, all_chats(bob) as his, all_chats(bob) as phone, all_chats(mallory) as others:
        await settled(hers, his, phone, others)

        await hers.asks(type="new_message", chat_id=lunch, text="pizza?")

        heard = [await one.hears() for one in (hers, his, phone)]
        assert heard[0] == heard[1] == heard[2]
        assert heard[0] == {
            "event_type": "new_message",
            "id": heard[0]["id"],
            "user_id": int(alice.user_id),
            "chat_id": lunch,
            "text": "pizza?",
            "dt_created": heard[0]["dt_created"],
        }
        await settled(others)
        assert [frame["status"] for frame in others.heard] == ["error", "error"]


async def test_what_is_said_once_a_socket_is_open_reaches_it_however_late_it_joins_the_log(
    server: Server, alice: Person, bob: Person, sql: asyncpg.Connection
) -> None:
    lunch = await group(alice, bob)
    await says(alice, str(lunch), "before")
    readers = server.runner.app[LOG].reader._connections
    await sql.execute("select pg_advisory_lock(1)")
    busy = [asyncio.create_task(readers.rows("select pg_advisory_xact_lock(1)")) for _ in range(READERS)]
    await asyncio.sleep(0)

    async with all_chats(bob) as his, one_chat(bob, lunch) as room:
        await says(alice, str(lunch), "after")
        assert not any(one.done() for one in busy), "nobody could join the log when it was said"
        await sql.execute("select pg_advisory_unlock(1)")

        assert (await his.hears())["text"] == (await room.hears())["text"] == "after"
    await asyncio.gather(*busy)


@pytest.mark.parametrize("frame", [{"type": "new_message", "chat_id": 1, "text": ""}, {"no": "verb"}])
async def test_frames_that_store_nothing_cost_as_much_as_any_other(start, alice: Person, frame: dict[str, Any]) -> None:
    async with all_chats(alice, await start(THROTTLE_DEFAULT="20/1s")) as socket:
        for _ in range(200):
            await socket.says(**frame)

        assert await socket.closes() == 4002


async def test_an_author_is_told_of_every_message_that_somebody_has_read(
    alice: Person, bob: Person, mallory: Person
) -> None:
    lunch = await group(alice, bob, mallory)
    ids = [int((await says(alice, str(lunch), f"{number}"))["id"]) for number in range(3)]
    between = int((await says(mallory, str(lunch), "between"))["id"])
    last = int((await says(alice, str(lunch), "last"))["id"])
    async with all_chats(alice) as hers, all_chats(bob) as his, all_chats(mallory) as third:
        await settled(hers, his, third)

        await his.asks(type="read_message", chat_id=lunch, id=ids[1])
        await his.asks(type="read_message", chat_id=str(lunch), id=str(ids[0]))  # back: nothing moves
        await his.asks(type="read_message", chat_id=lunch, id=last)

        read = [await hers.hears() for _ in range(4)]
        assert read == [
            {"event_type": "read_message", "id": one, "user_id": int(bob.user_id), "chat_id": lunch}
            for one in (*ids, last)
        ]
        assert (await third.hears())["id"] == between
        await settled(hers, his, third)
        assert [len(one.heard) for one in (hers, his, third)] == [6, 2, 3]


async def test_what_is_refused_is_told_and_the_socket_stays_open(alice: Person, bob: Person, mallory: Person) -> None:
    lunch = await group(alice, bob)
    async with all_chats(mallory) as socket:
        for frame in (
            {"type": "new_message", "chat_id": lunch, "text": "let me in"},
            {"type": "new_message", "chat_id": 999999, "text": "hello"},
            {"type": "new_message", "chat_id": lunch, "text": ""},
            {"type": "new_message", "chat_id": 0, "text": "hello"},
            {"type": "new_message", "text": "hello"},
            {"type": "new_message", "chat_id": lunch, "text": 1},
            {"type": "read_message", "chat_id": lunch, "id": 1},
            {"type": "read_message", "chat_id": lunch},
            {"type": "rumour"},
            {"type": 7},
            {},
        ):
            await socket.says(**frame)
            assert await socket.refusal()
        for words in ("", "[]", "pizza?", '{"type": "new_message", "type": "read_message"}', '{"a": NaN}'):
            await socket.ws.send_str(words)
            assert await socket.refusal()
        own = await group(mallory)
        await socket.asks(type="new_message", chat_id=own, text="still here")
        assert (await socket.hears())["text"] == "still here"


async def test_a_chat_one_is_not_in_is_refused_in_the_words_of_one_that_is_not_there(
    alice: Person, bob: Person, mallory: Person
) -> None:
    lunch = await group(alice, bob, mallory)
    mine = await group(mallory)
    said = (await says(alice, str(lunch), "pizza?"))["id"]
    async with all_chats(mallory) as socket, one_chat(mallory, mine) as room:
        await settled(socket, room)
        (await alice.removes(str(lunch), mallory)).expecting(204)
        for frame in (
            {"type": "new_message", "text": "let me in"},
            {"type": "read_message", "id": int(said)},
            {"type": "read_message", "id": 999999},
        ):
            heard = []
            for chat in (lunch, 999999):
                await socket.says(**frame, chat_id=chat)
                heard.append(await socket.refusal())
            assert heard[0] == heard[1], frame
        for number in (int(said), 999999):  # nor does a chat of one's own tell of messages elsewhere
            await room.says(action="message_read", message_id=number)
        assert await room.refusal() == await room.refusal()
        assert await mallory.sees(str(mine))
    assert (await alice.get(f"/v1/chats/{lunch}/messages?limit=10")).json["messages"][0]["is_read"] is False


@pytest.mark.alone
async def test_spam_is_refused_and_who_goes_on_is_closed(start) -> None:
    server = await start(THROTTLE_SEND="10/1s", THROTTLE_DEFAULT="1000/1s")
    async with Person.registered(server, "alice") as alice, Person.registered(server, "bob") as bob:
        lunch, began = await group(alice, bob), time.monotonic()
        frames = {
            "/chats/ws": {"type": "new_message", "chat_id": lunch, "text": "spam"},
            f"/ws/{lunch}": {"action": "send_message", "text": "spam"},
        }
        for path, frame in frames.items():
            async with opened(alice, path) as socket:
                for _ in range(200):
                    await socket.says(**frame, message_id=str(uuid4()))

                assert await socket.closes() == 4002, path
            stored = (await bob.get(f"/v1/chats/{lunch}/messages?limit=1000")).json["messages"]
            assert len(stored) <= 10 + time.monotonic() - began
        async with all_chats(bob) as his:
            await his.asks(type="new_message", chat_id=lunch, text="what was that?")
            assert (await his.hears())["text"] == "what was that?"


async def test_in_one_chat_a_message_has_six_fields_twice_and_the_name_its_sender_gave_it(
    alice: Person, bob: Person
) -> None:
    lunch = await group(alice, bob)
    name = str(uuid4()).upper()
    async with one_chat(alice, lunch) as hers, one_chat(alice, lunch) as phone, one_chat(bob, lunch) as his:
        await settled(hers, phone, his)

        await hers.asks(action="send_message", message_id=name, text="pizza?")

        heard = [await one.hears() for one in (hers, phone, his)]
        six = heard[0]["message"]
        assert heard == [heard[0]] * 3
        assert heard[0] == {
            "type": "Message",
            "action": "new_message",
            "message": {
                "id": six["id"],
                "chat_id": lunch,
                "sender_id": int(alice.user_id),
                "text": "pizza?",
                "timestamp": six["timestamp"],
                "is_read": False,
            },
            "message_id": name,
            **{key: value for key, value in six.items() if key != "id"},
        }
        assert (await bob.get(f"/history/{lunch}")).json == [six]
        # The name is for these sockets: in /v1 it is nobody's key.
        page = (await alice.get(f"/v1/chats/{lunch}/messages?limit=1")).json["messages"]
        assert page[0]["client_id"] is None


async def test_the_same_uuid_again_is_an_error_and_one_row(alice: Person, bob: Person, sql: asyncpg.Connection) -> None:
    lunch = await group(alice, bob)
    name = str(uuid4())
    async with one_chat(alice, lunch) as hers, one_chat(bob, lunch) as his:
        await hers.asks(action="send_message", message_id=name, text="pizza?")
        await hers.hears()

        await hers.asks(action="send_message", message_id=name, text="pizza?")
        assert "message_id" in await hers.refusal()
        await hers.asks(action="send_message", message_id=name, text="soup?")
        assert await hers.refusal()

        assert (await his.hears())["message_id"] == name
        await his.asks(action="send_message", message_id=name, text="my own")  # a name belongs to its sender
        assert (await his.hears())["text"] == "my own"
        for wrong in ("17", "not-a-uuid", "", name + "0"):
            await hers.says(action="send_message", message_id=wrong, text="pizza?")
        assert (await hers.hears())["text"] == "my own"
        for _ in range(4):
            assert await hers.refusal()
        assert await sql.fetchval("select count(*) from messages where chat_id = $1", lunch) == 2


async def test_the_author_hears_read_by_all_once_when_the_last_one_has_read(
    alice: Person, bob: Person, mallory: Person
) -> None:
    lunch = await group(alice, bob, mallory)
    name = str(uuid4())
    async with one_chat(alice, lunch) as hers, one_chat(bob, lunch) as his, one_chat(mallory, lunch) as third:
        await settled(hers, his, third)
        await hers.asks(action="send_message", message_id=name, text="one")
        await hers.hears()
        said = (await alice.post(f"/messages/group/{lunch}", {"text": "two"})).json
        heard = [await his.hears(), await his.hears()]
        assert [frame["message_id"] for frame in heard] == [name, said["id"]]

        await his.asks(action="message_read", message_id=said["id"])
        await settled(his)
        await settled(hers)
        assert len(hers.heard) == 3, "one of two has read"
        await third.asks(action="message_read", message_id=name)
        first = await hers.hears()
        await third.asks(action="message_read", message_id=str(said["id"]))
        second = await hers.hears()
        for message in (name, said["id"]):
            await third.asks(action="message_read", message_id=message)
            await his.asks(action="message_read", message_id=message)
        await settled(third, his)
        last = (await alice.post(f"/messages/group/{lunch}", {"text": "three"})).json["id"]
        for socket in (his, third):
            await socket.asks(action="message_read", message_id=last)

        frame = {"type": "Read", "action": "message_read", "chat_id": lunch, "read_by_all": True}
        assert [first, second] == [{**frame, "message_id": name}, {**frame, "message_id": said["id"]}]
        assert await hers.hears() == {**frame, "message_id": last}, "each of them was told once"
        await settled(his, third)
        assert not any(frame.get("type") == "Read" for frame in (*his.heard, *third.heard))


async def test_a_message_by_rest_is_not_told_to_its_sender_in_one_chat_and_by_a_socket_it_is(
    alice: Person, bob: Person, start
) -> None:
    elsewhere = await start()
    lunch = await group(alice, bob)
    async with AsyncExitStack() as stack:
        here, there = [
            await stack.enter_async_context(one_chat(alice, lunch, server)) for server in (alice.server, elsewhere)
        ]
        his = await stack.enter_async_context(one_chat(bob, lunch, elsewhere))
        await settled(here, there, his)
        v1 = await stack.enter_async_context(alice.connects())
        older = await stack.enter_async_context(all_chats(alice))

        (await alice.post(f"/messages/group/{lunch}", {"text": "rest", "operation_id": 1})).expecting(200)
        await says(alice, str(lunch), "rest of /v1")
        await v1.asks("new_message", chat_id=lunch, text="socket")
        await older.asks(type="new_message", chat_id=lunch, text="older socket")

        for one in (here, there):
            assert [(await one.hears())["text"] for _ in range(2)] == ["socket", "older socket"]
        assert [(await his.hears())["text"] for _ in range(4)] == ["rest", "rest of /v1", "socket", "older socket"]


async def test_only_the_chat_of_the_socket_is_heard_on_it(alice: Person, bob: Person) -> None:
    lunch, work = await group(alice, bob), await group(alice, bob)
    async with one_chat(bob, lunch) as his:
        await settled(his)
        await says(alice, str(work), "budget")
        await says(alice, str(lunch), "pizza?")

        assert (await his.hears())["chat_id"] == lunch
        await his.says(action="message_read", message_id=1)
        await his.says(action="message_read", message_id=str(uuid4()))
        assert await his.refusal() == await his.refusal() == "There is no such message."


async def test_who_is_not_in_the_chat_is_let_in_and_closed_with_1008(alice: Person, mallory: Person) -> None:
    lunch = await group(alice)
    for chat in (lunch, 999999, "abc", "0", 2**60):
        async with one_chat(mallory, chat) as socket:
            assert await socket.closes() == 1008, chat
            assert socket.heard == []


async def test_nothing_is_heard_after_a_removal(alice: Person, bob: Person, start) -> None:
    elsewhere = await start()
    lunch = await group(alice, bob)
    async with one_chat(bob, lunch, elsewhere) as room, all_chats(bob, elsewhere) as his:
        await settled(room, his)
        ids = [(await says(bob, str(lunch), f"{number}"))["id"] for number in range(20)]

        (await alice.post(f"/messages/read/{ids[-1]}")).expecting(200)
        (await alice.removes(str(lunch), bob)).expecting(204)
        await says(alice, str(lunch), "at last")

        assert await room.closes() == 1008
        another = await group(alice, bob)
        await says(alice, str(another), "hello")
        while (frame := await his.hears()).get("text") != "hello":
            assert frame.get("text") != "at last"
        assert all(frame.get("text") != "at last" for frame in room.heard)


async def test_a_deleted_chat_closes_its_sockets(alice: Person, bob: Person) -> None:
    lunch = await group(alice, bob)
    async with one_chat(bob, lunch) as room:
        await settled(room)
        (await alice.deletes(str(lunch))).expecting(204)

        assert await room.closes() == 1008


async def test_who_is_added_hears_all_chats_from_there_on(alice: Person, bob: Person) -> None:
    async with all_chats(bob) as his:
        await settled(his)
        lunch = await group(alice, bob)
        await says(alice, str(lunch), "welcome")

        assert (await his.hears())["text"] == "welcome"


# --- who may open them, and when they end


async def test_a_token_in_the_address_opens_these_sockets_only_and_is_never_logged(
    alice: Person, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    lunch = await group(alice)
    token = alice.credentials["access_token"]
    caplog.clear()
    for path in ("/chats/ws", f"/ws/{lunch}"):
        for credential in (token, alice.credentials["session_id"]):
            async with opened(alice, f"{path}?token={credential}", headers={}) as socket:
                await settled(socket)
    with pytest.raises(RefusedUpgrade):
        async with opened(alice, f"/chats/ws?token={token}x", headers={}):
            pass
    for path in ("/v1/ws", f"/history/{lunch}", "/v1/users/me"):
        answer = await alice.http.get(f"{alice.server.url}{path}?token={token}", headers={})
        assert answer.status == 401, path

    ours = [record for record in caplog.records if record.name.startswith("messenger")]
    lines = [record.getMessage() + str(vars(record)) for record in ours]
    assert lines
    assert not any(token[-20:] in line or alice.credentials["session_id"] in line for line in lines)


async def test_without_a_good_credential_there_is_no_upgrade(alice: Person, nobody: Person) -> None:
    lunch = await group(alice)
    for path in ("/chats/ws", f"/ws/{lunch}"):
        for query, headers in (
            ("", {}),
            ("?token=", {}),
            ("?token=a.b.c", {}),
            ("?token=x&token=y", {}),
            ("", {"Authorization": "Bearer a.b.c"}),
        ):
            with pytest.raises(RefusedUpgrade) as refused:
                async with opened(nobody, path + query, headers=headers):
                    pass
            assert refused.value.status == 401


async def test_a_cookie_opens_them_from_our_own_pages_only(alice: Person) -> None:
    signed_in = await alice.signs_in()
    cookie = "; ".join(f"{morsel.key}={morsel.value}" for morsel in signed_in.cookies.values())
    lunch = await group(alice)
    for path in ("/chats/ws", f"/ws/{lunch}"):
        async with opened(alice, path, headers={"Cookie": cookie, "Origin": alice.server.url}) as socket:
            await settled(socket)
        with pytest.raises(RefusedUpgrade) as refused:
            async with opened(alice, path, headers={"Cookie": cookie, "Origin": "https://elsewhere.example"}):
                pass
        assert refused.value.code == "origin-not-allowed"


async def test_a_logout_closes_the_sockets_of_that_session_and_no_other(alice: Person, start) -> None:
    elsewhere = await start()
    lunch = await group(alice)
    async with alice.on_another_device(client_id="phone") as phone, AsyncExitStack() as stack:
        ended = [
            await stack.enter_async_context(opened(alice, path, elsewhere)) for path in ("/chats/ws", f"/ws/{lunch}")
        ]
        lives = await stack.enter_async_context(all_chats(phone, elsewhere))
        await settled(*ended, lives)

        await alice.signs_out()

        assert [await one.closes() for one in ended] == [4502, 4502]
        await lives.asks(type="new_message", chat_id=lunch, text="still here")
        assert (await lives.hears())["text"] == "still here"


async def test_two_devices_with_different_client_ids_both_receive(alice: Person, bob: Person) -> None:
    lunch = await group(alice, bob)
    async with bob.on_another_device(client_id="laptop") as laptop, bob.on_another_device(client_id="phone") as phone:
        async with all_chats(laptop) as one, all_chats(phone) as other, one_chat(phone, lunch) as room:
            await settled(one, other, room)
            await says(alice, str(lunch), "pizza?")

            assert [(await socket.hears())["text"] for socket in (one, other, room)] == ["pizza?"] * 3


async def test_a_server_that_stops_sends_them_away_with_1001(alice: Person, start) -> None:
    stopping = await start()
    lunch = await group(alice)
    async with all_chats(alice, stopping) as one, one_chat(alice, lunch, stopping) as other:
        await settled(one, other)

        cleaning = asyncio.create_task(stopping.runner.cleanup())

        assert [await one.closes(), await other.closes()] == [1001, 1001]
        await cleaning


async def test_they_count_towards_the_sockets_of_a_person(alice: Person, start) -> None:
    small = await start(MAX_SOCKETS_PER_USER="2")
    async with all_chats(alice, small) as one, alice.connects(small):
        await settled(one)
        with pytest.raises(RefusedUpgrade) as refused:
            async with all_chats(alice, small):
                pass
        assert refused.value.status == 429


async def test_a_socket_that_answers_no_pings_is_given_up(alice: Person, dsn: str, config) -> None:
    app = create_app(config, dsn)
    app[PACE] = Pace(heartbeat=0.3, pong=0.2, close=0.3)
    async with Server.running(make_runner(app)) as hurried:
        async with all_chats(alice, hurried, autoping=False) as silent, all_chats(alice, hurried) as answering:
            await settled(silent, answering)
            answers = asyncio.create_task(answering.ws.receive())  # which answers the pings as well
            async with asyncio.timeout(20):
                while len(hurried.runner.app[CONTEXT].links) == 2:
                    await asyncio.sleep(0.05)
            answers.cancel()
            (left,) = hurried.runner.app[CONTEXT].links
            assert left.closed_with is None


async def test_binary_frames_close_and_too_large_ones_too(alice: Person) -> None:
    async with all_chats(alice) as socket:
        await socket.ws.send_bytes(b"{}")
        assert await socket.closes() == 1003
    async with all_chats(alice) as socket:
        await socket.ws.send_str(json.dumps({"type": "new_message", "text": "x" * 70_000}))
        assert await socket.closes() == 1009


async def test_a_long_run_is_told_message_by_message_and_each_once(
    alice: Person, bob: Person, sql: asyncpg.Connection
) -> None:
    lunch = await group(alice, bob)
    await fill(sql, str(lunch), alice, 450)
    async with one_chat(alice, lunch) as room, all_chats(alice) as hers:
        await settled(room, hers)
        ids = [row["id"] for row in await sql.fetch("select id from messages where chat_id = $1 order by seq", lunch)]

        (await bob.post(f"/messages/read/{ids[-1]}")).expecting(200)

        assert [(await room.hears())["message_id"] for _ in ids] == ids
        assert [(await hers.hears())["id"] for _ in range(200)] == ids[-200:]
        await says(bob, str(lunch), "long")
        assert [(await one.hears())["text"] for one in (room, hers)] == ["long", "long"]


async def test_in_the_chat_of_two_the_author_hears_that_the_other_one_has_read(alice: Person, bob: Person) -> None:
    said = (await alice.post(f"/messages/user/{bob.user_id}", {"text": "pizza?", "operation_id": 1})).json
    async with one_chat(alice, said["chat_id"]) as hers, one_chat(bob, said["chat_id"]) as his:
        await settled(hers, his)

        await his.asks(action="message_read", message_id=said["id"])

        assert await hers.hears() == {
            "type": "Read",
            "action": "message_read",
            "message_id": said["id"],
            "chat_id": said["chat_id"],
            "read_by_all": True,
        }


async def test_a_chat_made_by_hand_in_the_database_is_a_chat_like_others(
    alice: Person, bob: Person, sql: asyncpg.Connection
) -> None:
    chat = await sql.fetchval("insert into chats (name) values ('by hand') returning id")
    for person in (alice, bob):
        await sql.execute("insert into members (chat_id, user_id) values ($1, $2)", chat, int(person.user_id))
    async with all_chats(alice) as hers, all_chats(bob) as his, one_chat(alice, chat) as room:
        await settled(hers, his, room)

        await hers.asks(type="new_message", chat_id=chat, text="pizza?")
        said = await his.hears()
        await his.asks(type="read_message", chat_id=chat, id=said["id"])

        assert [(await hers.hears())["event_type"] for _ in range(2)] == ["new_message", "read_message"]
        assert [(await room.hears())["action"] for _ in range(2)] == ["new_message", "message_read"]
        page = (await alice.get(f"/chats/{chat}/messages")).expecting(200).json
        assert {mark["message_id"] for mark in page["read_cursors"]} == {said["id"]}
