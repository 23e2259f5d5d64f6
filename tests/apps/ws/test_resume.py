"""Coming back with a cursor: everything missed, in order, once; to any server, over any transport; or told by name."""

import asyncio
import json
import random
from contextlib import AsyncExitStack

import pytest

from messenger.web.app_keys import LOG
from proof.lab.waiting import PATIENCE
from tests.actors import Person
from tests.apps.talk import fill, says, told
from tests.apps.ws.raw import raw_socket
from tests.sockets import Refused, Socket

pytestmark = pytest.mark.shared


async def until_resumed(socket: Socket) -> list[dict]:
    await socket.hears("resumed")
    return socket.hears_at_once()


async def cursor_of(person: Person) -> str:
    return (await person.get("/v1/sync")).json["cursor"]


def at(cursor: str, position: int) -> str:
    return f"{cursor.partition('.')[0]}.{position}"


def place(cursor: str) -> int:
    return int(cursor.partition(".")[2])


async def test_what_was_missed_comes_in_order_from_any_server_after_a_restart_and_on_every_transport(
    alice, bob, start, server
):
    """The same bytes, live and later, here and elsewhere."""
    other, gone = await start(), await start()
    lunch = await alice.opens_chat("lunch", [bob])
    async with AsyncExitStack() as stack:
        live = [
            await stack.enter_async_context(one)
            for one in (
                bob.connects(),
                bob.connects(other),
                *(bob.streams(form, place) for form in ("sse", "ndjson", "poll") for place in (server, other)),
            )
        ]
        cursor = await cursor_of(bob)
        first = await says(alice, lunch, "one é \N{SLICE OF PIZZA}", client_id="mine alone")
        direct = await alice.talks_to(bob)
        for one in live:  # chats are shown as they are when the event is read: nothing may happen to them meanwhile
            await one.hears("chat_created")
        await says(alice, direct, "two", reply_to=None)
        await says(alice, lunch, "three", reply_to=first["message_id"], operation_id=7)
        await alice.changes(lunch, chat_name="dinner")
        for one in live:
            await one.hears("chat_changed")
        last = await says(alice, lunch, "four")
        for one in live:
            assert told([await one.hears("new_message") for _ in range(4)])[-1] == "four"
        await (
            await alice.http.put(  # the answer is tested elsewhere
                f"{server.url}/v1/chats/{lunch}/messages/{last['message_id']}/reactions/%F0%9F%8D%95",
                headers=alice.headers,
            )
        ).release()
        for one in live:
            await one.hears("reaction")
        lived = [one.raw[-8:] for one in live]
        # Sockets also hear their greeting and answers; what is durable is the same everywhere.
        durable = [[words for words in raws if b'"cursor"' in words and b'"ready"' not in words] for raws in lived]
        for raws in durable:
            assert raws == durable[0]
        assert b"client_id" not in b"".join(durable[0])

        later = [
            await stack.enter_async_context(one)
            for one in (
                bob.connects(cursor=cursor),
                bob.connects(other, cursor=cursor),
                bob.streams("sse", after=cursor),
                bob.streams("sse", other, headers={"Last-Event-ID": cursor}),
                bob.streams("ndjson", other, after=cursor),
                bob.streams("poll", after=cursor),
            )
        ]
        for one in later:
            await one.hears("reaction")
        replays = [
            [w for w in one.raw if b'"cursor"' in w and b'"ready"' not in w and b'"resumed"' not in w] for one in later
        ]
        assert all(raws == replays[0] for raws in replays), replays
        events = [json.loads(words) for words in replays[0]]
        assert told(events) == ["one é \N{SLICE OF PIZZA}", "two", "three", "four"]
        assert [place(one["cursor"]) for one in events] == sorted({place(one["cursor"]) for one in events})
        # Four said now what they are now; the others are the very same bytes as live.
        assert set(replays[0]) - set(durable[0]) != set(replays[0])
        assert later[0].ready["resumed"] and later[0].ready["cursor"] == cursor
    await gone.runner.cleanup()
    anew = await start()
    async with bob.connects(anew) as socket:
        assert socket.ready["resumed"] is False
        ack = await socket.asks("resume", cursor=cursor)
        again = await until_resumed(socket)
        assert [json.dumps(one) for one in again] == [json.dumps(one) for one in events]
        assert ack == {"cursor": again[-1]["cursor"], "replayed": len(events)}


async def test_a_cursor_that_is_none_is_told_and_nothing_breaks(alice):
    # Of several logs a client gives a list; there is one log here, and so one cursor.
    bad = (
        "",
        "x",
        "1",
        "abc.-1",
        "abc.1.2",
        "abc.1,def.2",
        "abc.1,",
        ",abc.1",
        "abc.01",
        "ABC.1",
        "abc.99999999999999999",
        "a" * 33 + ".1",
        "abc.\u0661",
    )
    async with alice.connects() as socket:
        for cursor in (*bad, None, 7, {"a": 1}):
            with pytest.raises(Refused) as refused:
                await socket.asks("resume", cursor=cursor)
            assert (refused.value.code, refused.value.status) == ("bad-cursor", 400), cursor
        assert await socket.asks("ping") == {}
    async with alice.connects(cursor="abc.1,def.2") as socket:
        assert socket.ready["resumed"] is False
        assert (await socket.hears("error"))["error"]["code"] == "bad-cursor"
        await alice.opens_chat("lunch")
        assert (await socket.hears())["type"] == "member_added"  # live all the same
    for path in ("?after=x", "?after=abc.1,def.2", "?after=abc.01&format=sse", "?after=abc.1.1&format=ndjson"):
        assert (await alice.get("/v1/events" + path)).code == "bad-cursor"
    assert (await alice.get("/v1/events", headers={"Last-Event-ID": "x"})).code == "bad-cursor"
    assert (await alice.get("/v1/events", headers={"Last-Event-ID": "abc.1,def.2"})).code == "bad-cursor"


async def test_a_cursor_that_is_no_good_any_more_means_start_again_on_every_transport(alice, sql):
    lunch = await alice.opens_chat("lunch")
    old = await cursor_of(alice)
    for number in range(3):
        await says(alice, lunch, f"{number}")
    await alice.changes(lunch, chat_name="dinner")
    head = await cursor_of(alice)
    await sql.execute("update log_kept set after_position = $1", place(old) + 1)
    await sql.execute("delete from log_entries where position <= $1", place(old) + 1)

    for cursor in (old, at(head, place(head) + 1), "0000.3", at(head, 2**53 - 1)):
        async with alice.connects(cursor=cursor) as socket:
            resync = await socket.hears()
            assert (resync["type"], resync["cursor"]) == ("resync", head), cursor
            assert socket.heard == [resync]
            assert await socket.asks("resume", cursor=cursor) == {"cursor": head, "resync": True}
        for form in ("sse", "ndjson"):
            async with alice.streams(form, after=cursor) as stream:
                assert (await stream.hears())["cursor"] == head
        answer = (await alice.get(f"/v1/events?after={cursor}&wait=30")).json
        assert ([one["type"] for one in answer["events"]], answer["cursor"]) == (["resync"], head)
    async with alice.connects(cursor=at(head, place(old) + 1)) as socket:  # the very first that is still good
        assert (await socket.hears("resumed"))["replayed"] == 3
        assert await socket.asks("ping") == {}


async def test_after_a_resync_the_stream_goes_on_live_from_its_cursor(alice, bob):
    lunch = await alice.opens_chat("lunch", [bob])
    async with bob.connects(cursor="0000.3") as socket, bob.streams(after="0000.3") as stream:
        assert (await socket.hears())["type"] == (await stream.hears())["type"] == "resync"

        await says(alice, lunch, "hi")

        assert await socket.hears() == await stream.hears()


async def test_too_much_in_one_chat_is_limited_and_too_much_in_all_is_a_new_start(alice, bob, sql):
    news, lunch, more = [await alice.opens_chat(name, [bob]) for name in ("news", "lunch", "more")]
    cursor = await cursor_of(bob)
    await says(alice, lunch, "before")
    await fill(sql, news, alice, 5000)
    async with bob.connects(cursor=cursor) as socket:
        assert (await socket.hears("resumed", within=60))["replayed"] == 5001

    await fill(sql, news, alice, 1)
    await says(alice, lunch, "after")
    limited = {"type": "limited", "chat_id": news, "from_seq": 1, "to_seq": 5001, "cursor": cursor}
    async with bob.connects(cursor=cursor) as socket, bob.streams("ndjson", after=cursor) as stream:
        assert await socket.hears() == await stream.hears() == limited
        assert (await socket.hears("resumed"))["replayed"] == 2
        assert told(socket.hears_at_once()) == ["before", "after"]
        await fill(sql, news, alice, 1)  # what comes after the pages is told live
        assert (await socket.hears("new_message"))["message"]["seq"] == 5002
        assert told([await stream.hears("new_message") for _ in range(3)])[:2] == ["before", "after"]
    answer = (await bob.get(f"/v1/events?after={cursor}")).json
    assert answer["events"][0] == {**limited, "to_seq": 5002} and told(answer["events"]) == ["before", "after"]

    await fill(sql, more, alice, 4998)
    async with bob.connects(cursor=cursor) as socket:
        assert (await socket.hears("resumed", within=60))["replayed"] == 5000
    await fill(sql, lunch, alice, 4998)
    async with bob.connects(cursor=cursor) as socket:
        assert (await socket.hears("resumed", within=60))["replayed"] == 9998
    await fill(sql, more, alice, 2)
    await alice.changes(lunch, chat_name="dinner")
    async with bob.connects(cursor=cursor) as socket:
        assert (await socket.hears())["type"] == "resync"
        assert len(socket.heard) == 1


async def test_a_person_who_was_removed_while_away_hears_of_the_removal_and_of_nothing_else_there(alice, bob, start):
    other = await start()
    secret, lunch = await alice.opens_chat("secret", [bob]), await alice.opens_chat("lunch", [bob])
    cursor = await cursor_of(bob)
    message = await says(alice, secret, "seen no more")
    await alice.asks("PATCH", f"/v1/chats/{secret}/messages/{message['message_id']}", {"text": "changed"})
    (await alice.removes(secret, bob)).expecting(204)
    await says(alice, secret, "behind his back")
    await says(alice, lunch, "hi")

    for where in (alice.server, other):
        async with bob.connects(where, cursor=cursor) as socket, bob.streams("ndjson", where, after=cursor) as stream:
            events = await until_resumed(socket)
            assert [(one["type"], one["chat_id"]) for one in events] == [
                ("member_removed", secret),
                ("new_message", lunch),
            ]
            assert [await stream.hears(), await stream.hears()] == events
            with pytest.raises(Refused) as refused:
                await socket.asks("new_message", chat_id=secret, text="let me in")
            assert refused.value.code == "chat-not-found"

    (await alice.invites(secret, bob)).expecting(201)
    await says(alice, secret, "welcome back")
    async with bob.connects(cursor=cursor) as socket:
        events = await until_resumed(socket)
        mine = [one for one in events if one["chat_id"] == secret]
        assert [one["type"] for one in mine] == [
            "member_removed",
            "member_added",
            "message_read_by_all",  # of those who are there now
            "new_message",
        ]
        assert told(mine) == ["welcome back"]
        page = (await bob.get(f"/v1/chats/{secret}/messages?limit=10")).json["messages"]
        assert [one["text"] for one in page] == ["changed", "behind his back", "welcome back"]


async def test_of_a_chat_that_was_deleted_while_away_only_that_is_told(alice, bob):
    lunch = await alice.opens_chat("lunch", [bob])
    cursor = await cursor_of(bob)
    await says(alice, lunch, "hi")
    await alice.changes(lunch, chat_name="dinner")
    (await alice.deletes(lunch)).expecting(204)

    for person in (alice, bob):
        async with person.connects(cursor=cursor) as socket:
            assert [one["type"] for one in await until_resumed(socket)] == ["chat_deleted"]


async def test_a_replay_shows_messages_as_they_are_now(alice, bob):
    lunch = await alice.opens_chat("lunch", [bob])
    cursor = await cursor_of(bob)
    first, second = await says(alice, lunch, "first words"), await says(alice, lunch, "taken back")
    path = f"/v1/chats/{lunch}/messages/"
    (await alice.asks("PATCH", path + first["message_id"], {"text": "better words"})).expecting(200)
    (await alice.asks("DELETE", path + second["message_id"])).expecting(204)
    (await bob.asks("PUT", path + first["message_id"] + "/reactions/!")).expecting(204)

    async with bob.connects(cursor=cursor) as socket:
        events = await until_resumed(socket)

    assert b"first words" not in b"".join(socket.raw) and b"taken back" not in b"".join(socket.raw)
    assert [one["type"] for one in events] == [
        "new_message",
        "new_message",
        "message_edited",
        "message_deleted",
        "reaction",
    ]
    assert told(events) == ["better words", ""]
    assert events[1]["message"]["deleted"] and events[0]["message"]["reactions"]
    assert events[0]["message"] == events[2]["message"]


async def test_coming_back_in_the_middle_of_heavy_sending_loses_and_doubles_nothing(alice, bob, start, sql):
    """Many sockets come back at any moment, here and elsewhere, while two people write as fast as they can."""
    other = await start()
    lunch = await alice.opens_chat("lunch", [bob])
    dice = random.Random(7)
    async with alice.connects() as hers, bob.connects(other) as his, bob.on_another_device() as phone:
        cursor, acks = hers.ready["cursor"], []

        async def pour(socket: Socket, name: str) -> None:
            for number in range(300):
                acks.append(await socket.sends("new_message", chat_id=lunch, text=f"{name} {number}"))
                if number % 20 == 19:
                    await acks[-1]

        pouring = asyncio.gather(pour(hers, "a"), pour(his, "b"))
        kept: list[list[dict]] = []
        asking = asyncio.Lock()  # one connection answers one question at a time

        async def comes_and_goes() -> None:
            """One who leaves and comes back with the cursor of the last event heard."""
            mine, where = [], cursor
            while not pouring.done():
                async with phone.connects(dice.choice([alice.server, other]), cursor=where) as socket:
                    for _ in range(dice.randint(1, 60)):
                        try:
                            event = await socket.hears(within=0.5)
                        except AssertionError:
                            break
                        if event["type"] == "new_message":
                            mine.append(event)
                        if "cursor" in event:
                            where = event["cursor"]
            async with phone.connects(other, cursor=where) as socket:
                await pouring
                await asyncio.gather(*acks)
                async with asking:
                    want = int(await sql.fetchval("select max(id) from messages"))
                while not mine or place(mine[-1]["cursor"]) < want:
                    event = await socket.hears()
                    if event["type"] == "new_message":
                        mine.append(event)
            kept.append(mine)

        await asyncio.gather(*(comes_and_goes() for _ in range(5)))
        results = await asyncio.gather(*acks)
    stored = sorted(int(one["result"]["message_id"]) for one in results)
    assert len(set(stored)) == 600
    for mine in kept:
        assert [int(one["message"]["message_id"]) for one in mine] == stored
        assert [one["message"]["seq"] for one in mine] == list(range(1, 601))


async def test_of_two_resumes_at_once_the_later_holds_and_both_are_answered(alice, bob, sql):
    lunch = await alice.opens_chat("lunch", [bob])
    cursor = await cursor_of(bob)
    await fill(sql, lunch, alice, 1500)
    async with bob.connects() as socket:
        answers = [await socket.sends("resume", cursor=cursor) for _ in range(5)]
        results = await asyncio.gather(*answers, return_exceptions=True)

        assert all(isinstance(one, Refused) for one in results[:-1])
        assert results[-1]["result"]["replayed"] == 1500
        events = socket.hears_at_once()
        assert [one["type"] for one in events].count("resumed") == 1
        seqs = [one["message"]["seq"] for one in events if one["type"] == "new_message"]
        assert seqs[-1500:] == list(range(1, 1501))
        await says(alice, lunch, "live")
        assert told([await socket.hears("new_message")]) == ["live"]


async def test_a_socket_does_not_hear_what_it_says_itself_while_it_comes_back(alice, bob, sql):
    lunch = await alice.opens_chat("lunch", [bob])
    cursor = await cursor_of(bob)
    await fill(sql, lunch, alice, 2000)
    async with bob.connects(cursor=cursor) as socket, bob.connects() as other:
        answers = [await socket.sends("new_message", chat_id=lunch, text=f"own {n}") for n in range(30)]
        await asyncio.gather(*answers)
        await socket.hears("resumed")
        answers = [await socket.sends("new_message", chat_id=lunch, text=f"own {n}") for n in range(30, 40)]
        await asyncio.gather(*answers)
        await says(alice, lunch, "the end")
        while told([await socket.hears("new_message")]) != ["the end"]:
            pass

        assert [text for text in told(socket.heard) if text.startswith("own")] == []
        assert len(told(socket.heard)) == 2001
        for number in range(40):
            assert (await other.hears("new_message"))["message"]["text"] == f"own {number}"


async def test_a_long_replay_goes_at_the_pace_of_its_reader(alice, bob, server):
    """Far more than an outbox holds, to somebody who reads little at a time: slow is not too slow."""
    lunch = await alice.opens_chat("lunch", [bob])
    cursor = await cursor_of(bob)
    async with alice.connects() as hers:
        for _ in range(6):
            text = "\N{SLICE OF PIZZA}" * 4096
            await asyncio.gather(*[await hers.sends("new_message", chat_id=lunch, text=text) for _ in range(100)])
    async with raw_socket(bob, receive_buffer=4096) as raw:
        resume = json.dumps({"type": "resume", "cursor": cursor, "ref": "r"}).encode()
        from tests.apps.ws.raw import frame

        await raw.says(frame(resume))
        seqs = []
        while True:
            event = json.loads((await raw.hears())[1])
            if event["type"] != "new_message":
                break
            seqs.append(event["message"]["seq"])
            if len(seqs) % 50 == 0:
                await asyncio.sleep(0.02)
        assert (event["type"], event["replayed"]) == ("resumed", 600)
        assert seqs == list(range(1, 601))


async def test_who_leaves_in_the_middle_of_a_replay_disturbs_nobody(alice, bob, sql, server):
    """The connections that replays read from are shared: a client that goes must not break another's statement."""
    lunch = await alice.opens_chat("lunch", [bob])
    cursor = await cursor_of(bob)
    await fill(sql, lunch, alice, 2000)
    pid = "select pid from pg_stat_activity where datname = current_database() and query like '%log_page%'"
    pid += " and pid <> pg_backend_pid()"
    async with bob.connects(cursor=cursor) as socket:
        await socket.hears("resumed")
    before = await sql.fetch(pid)
    assert before
    for _ in range(10):
        ws = await bob.http.ws_connect(f"{server.url}/v1/ws?cursor={cursor}", headers=bob.headers)
        await ws.receive()
        ws._response.connection.transport.abort()
    async with bob.connects(cursor=cursor) as socket:
        assert (await socket.hears("resumed"))["replayed"] == 2000

    still = "select pid from pg_stat_activity where pid = any($1)"
    assert await sql.fetch(still, [row["pid"] for row in before]) == before, "the connection was cut"
    async with asyncio.timeout(PATIENCE):
        await server.runner.app[LOG].tail.reach(place(await cursor_of(alice)))


async def test_a_kick_in_the_middle_of_heavy_sending_is_the_last_that_is_heard_on_every_transport(alice, bob, start):
    elsewhere = await start()
    async with (
        alice.connects() as hers,
        bob.connects() as near,
        bob.connects(elsewhere) as far,
        bob.streams("ndjson", elsewhere) as lines,
        bob.streams("poll", wait=5) as polls,
    ):
        begun = near.ready["cursor"]
        for turn in range(8):
            lunch = await alice.opens_chat(f"lunch {turn}", [bob])
            answers = [await hers.sends("new_message", chat_id=lunch, text=f"{n}") for n in range(40)]
            removal = asyncio.create_task(alice.asks("DELETE", f"/v1/chats/{lunch}/members/{bob.user_id}"))
            for number in range(40, 80):
                answers.append(await hers.sends("new_message", chat_id=lunch, text=f"{number}"))
                await asyncio.sleep(0)
            (await removal).expecting(204)
            ids = [int(ack["result"]["message_id"]) for ack in await asyncio.gather(*answers)]
            for listener in (near, far, lines, polls):
                removed = await listener.hears("member_removed")
                heard = [one for one in listener.heard if one["chat_id"] == lunch]
                told_ids = [int(one["message"]["message_id"]) for one in heard if one["type"] == "new_message"]
                before = [one for one in ids if one < place(removed["cursor"])]
                # A poll after the removal is a replay, and holds nothing else of that chat.
                assert told_ids == before[: len(told_ids) if listener is polls else None]
        direct = await alice.talks_to(bob)
        await says(alice, direct, "the end")
        for listener in (near, far, lines, polls):
            while listener.heard[-1].get("message", {}).get("text") != "the end":
                await listener.hears()
            for chat in {one["chat_id"] for one in listener.heard} - {direct}:
                assert [one["type"] for one in listener.heard if one["chat_id"] == chat][-1] == "member_removed"
        async with bob.connects(elsewhere, cursor=begun) as late:
            events = await until_resumed(late)
            assert {one["type"] for one in events if one["chat_id"] != direct} == {"member_removed"}
