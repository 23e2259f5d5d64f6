"""Saying things over a socket: order, answers, keys, and who hears of it."""

import asyncio
import json

import pytest

from tests.actors import PASSWORD, Person
from tests.apps.talk import says, told
from tests.sockets import Refused

pytestmark = pytest.mark.shared


async def test_everything_that_can_be_said_over_a_socket_does_what_rest_does(alice, bob):
    lunch = await alice.opens_chat("lunch", [bob])
    async with alice.connects() as hers, bob.connects() as his:
        one = await hers.asks("new_message", chat_id=int(lunch), text="pizza?", client_id="k1")
        two = await his.asks("new_message", chat_id=lunch, text="yes", reply_to=one["message_id"], operation_id=-3)
        assert (one["seq"], one["client_id"], one["is_read"]) == (1, "k1", False)
        assert (two["seq"], two["reply_to"], two["client_id"]) == (2, one["message_id"], None)
        edited = await hers.asks("edit_message", chat_id=lunch, message_id=int(one["message_id"]), text="pasta?")
        assert edited["text"] == "pasta?" and edited["edited_at"] and edited["client_id"] == "k1"
        await his.asks("react", chat_id=lunch, message_id=one["message_id"], emoji="\N{SLICE OF PIZZA}")
        await his.asks("unreact", chat_id=lunch, message_id=one["message_id"], emoji="\N{SLICE OF PIZZA}")
        await his.asks("react", chat_id=lunch, message_id=one["message_id"], emoji="!")
        marker = await hers.asks("read_message", chat_id=lunch, id=two["message_id"])
        assert marker == {"chat_id": lunch, "message_id": two["message_id"], "read_seq": 2}
        await his.asks("delete_message", chat_id=lunch, message_id=two["message_id"])
        for wrong, fields in (
            ("edit_message", {"message_id": one["message_id"], "text": "mine now"}),
            ("delete_message", {"message_id": one["message_id"]}),
        ):
            with pytest.raises(Refused) as refused:
                await his.asks(wrong, chat_id=lunch, **fields)
            assert refused.value.code == "forbidden"
        await his.hears("message_deleted")
        kinds = [event["type"] for event in his.heard]
        assert kinds == [
            "new_message",  # hers only
            "message_read_by_all",  # he has answered it
            "message_edited",
            "reaction",
            "reaction",
            "reaction",
            "message_read",
            "message_read_by_all",
            "message_deleted",
        ]
        page = (await bob.get(f"/v1/chats/{lunch}/messages?limit=10")).json["messages"]
        assert [(m["text"], m["deleted"], m["reactions"]) for m in page] == [
            ("pasta?", False, [{"emoji": "!", "user_ids": [bob.user_id]}]),
            ("", True, []),
        ]


async def test_sends_that_nobody_waited_for_are_stored_in_the_order_they_were_written(alice, bob):
    lunch, other = await alice.opens_chat("lunch", [bob]), await alice.opens_chat("other", [bob])
    async with alice.connects() as hers, bob.connects() as his:
        answers = [
            await hers.sends("new_message", chat_id=(lunch, other)[number % 2], text=f"{number}")
            for number in range(400)
        ]
        acks = await asyncio.gather(*answers)

        ids = [int(ack["result"]["message_id"]) for ack in acks]
        assert ids == sorted(ids)
        heard = [await his.hears("new_message") for _ in range(400)]
        assert told(heard) == [f"{number}" for number in range(400)]
        assert told(hers.heard) == []


async def test_what_does_not_ride_in_a_batch_waits_for_what_was_said_before(alice, bob):
    """The edits name messages that are not stored yet when their frames leave."""
    lunch = await alice.opens_chat("lunch", [bob])
    async with alice.connects() as hers:
        first = int((await hers.asks("new_message", chat_id=lunch, text="0"))["message_id"])
        await bob.post(f"/v1/chats/{lunch}/read", {"message_id": str(first)})
        base = int((await hers.asks("new_message", chat_id=lunch, text="1"))["message_id"])
        for turn in range(20):
            said = await hers.sends("new_message", chat_id=lunch, text="draft", client_id=f"{turn}")
            edit = await hers.sends("edit_message", chat_id=lunch, message_id=base + 1, text=f"final {turn}")
            assert int((await said)["result"]["message_id"]) == base + 1
            assert (await edit)["result"]["text"] == f"final {turn}"
            base += 2  # the message and the edit


async def test_the_sending_socket_has_its_ack_and_all_others_the_event(alice, bob, start):
    elsewhere = await start()
    lunch = await alice.opens_chat("lunch", [bob])
    async with (
        alice.connects() as sends,
        alice.connects() as beside,
        alice.connects(elsewhere) as far,
        bob.connects(elsewhere) as his,
        alice.streams() as stream,
    ):
        ack = await sends.asks("new_message", chat_id=lunch, text="hi", client_id="k")
        events = [await one.hears() for one in (beside, far, his, stream)]
        assert all(event == events[0] for event in events)
        assert events[0]["message"] == {name: value for name, value in ack.items() if name != "client_id"}
        await says(alice, lunch, "by REST")
        assert told([await one.hears() for one in (sends, beside, far, his, stream)]) == ["by REST"] * 5
        assert len(sends.heard) == 1


async def test_an_ack_is_never_later_than_an_event_with_a_higher_position(alice, bob, start):
    """The sockets of the tests look after it: here many write at once, here and elsewhere, with marks between."""
    elsewhere = await start()
    lunch, other = await alice.opens_chat("lunch", [bob]), await bob.opens_chat("other", [alice])
    async with alice.connects() as one, bob.connects() as two, alice.connects(elsewhere) as three:
        for turn in range(30):
            answers = []
            for number, socket in enumerate((one, two, three) * 4):
                chat = (lunch, other)[(number + turn) % 2]
                answers.append(await socket.sends("new_message", chat_id=chat, text=f"{turn} {number}"))
            results = [(await answer)["result"] for answer in answers]
            await one.asks("read_message", chat_id=results[0]["chat_id"], id=results[0]["message_id"])
        for socket in (one, two, three):
            assert await socket.asks("ping") == {}
            own = 4 * 30
            while len(told(socket.heard)) < 3 * own - own:
                await socket.hears("new_message")
            assert len(told(socket.heard)) == 2 * own


async def test_a_key_holds_across_sockets_rest_and_servers(alice, bob, start):
    elsewhere = await start()
    lunch = await alice.opens_chat("lunch", [bob])
    async with alice.connects() as here, alice.connects(elsewhere) as there, bob.connects() as his:
        frames = [
            await socket.sends("new_message", chat_id=lunch, text="once", client_id="key")
            for _ in range(15)
            for socket in (here, there)
        ]
        body = {"text": "once"}
        posts = [
            alice.post(f"/v1/chats/{lunch}/messages", body, server=server, headers={"Idempotency-Key": "key"})
            for _ in range(10)
            for server in (alice.server, elsewhere)
        ]
        answers = await asyncio.gather(*posts)
        acks = await asyncio.gather(*frames)

        assert {answer.status for answer in answers} <= {200, 201}
        found = [answer.json for answer in answers] + [ack["result"] for ack in acks]
        assert len({message["message_id"] for message in found}) == 1
        assert {(message["seq"], message["client_id"]) for message in found} == {(1, "key")}
        fresh = [a for a in answers if a.status == 201] + [ack for ack in acks if "replayed" not in ack]
        assert len(fresh) == 1
        for answer in answers:
            assert (answer.headers.get("Idempotency-Replayed") == "true") == (answer.status == 200)

        for socket in (here, there):
            with pytest.raises(Refused) as refused:
                await socket.asks("new_message", chat_id=lunch, text="something else", client_id="key")
            assert (refused.value.code, refused.value.status) == ("idempotency-conflict", 409)
        op = await here.asks("new_message", chat_id=lunch, text="op", operation_id=1)
        again = await there.asked("new_message", chat_id=lunch, text="op", operation_id=1)
        assert again["replayed"] is True and again["result"]["message_id"] == op["message_id"]
        # After an edit a repeat is still a repeat, and shows what is now.
        await here.asks("edit_message", chat_id=lunch, message_id=found[0]["message_id"], text="edited")
        late = await there.asked("new_message", chat_id=lunch, text="once", client_id="key")
        assert late["replayed"] is True and late["result"]["text"] == "edited"
        assert (await here.asks("new_message", chat_id=lunch, text="last"))["seq"] == 3  # no number was burnt
        while told(his.heard)[-1:] != ["last"]:
            await his.hears("new_message")
        assert told(his.heard) == ["once", "op", "last"]


async def test_a_frame_without_a_ref_is_obeyed_and_answered_only_when_refused(alice):
    lunch = await alice.opens_chat("lunch")
    async with alice.connects() as socket, alice.connects() as other:
        await socket.says(json.dumps({"type": "new_message", "chat_id": lunch, "text": "hi"}))
        await other.hears("new_message")
        await socket.says(json.dumps({"type": "new_message", "chat_id": "999", "text": "hi"}))
        assert (await socket.hears())["error"]["code"] == "chat-not-found"
        assert len(socket.heard) == 1


async def test_a_client_does_not_choose_its_number_sender_or_time(alice, bob):
    lunch = await alice.opens_chat("lunch", [bob])
    fields = {"seq": 7, "sender_id": bob.user_id, "user_id": bob.user_id, "sent_at": "2000-01-01T00:00:00.000Z"}
    async with alice.connects() as socket:
        said = await socket.asks("new_message", chat_id=lunch, text="hi", **fields, message_id="1", is_read=True)

    assert (said["seq"], said["sender_id"], said["is_read"]) == (1, alice.user_id, False)
    assert said["sent_at"] > "2020"
    posted = await says(alice, lunch, "hi", **fields, deleted=True)
    assert (posted["seq"], posted["sender_id"], posted["deleted"]) == (2, alice.user_id, False)


async def test_a_socket_outlives_the_access_token_that_opened_it(alice):
    """Its session's row counts: refreshing gives new tokens and leaves the socket alone."""
    token = alice.credentials["access_token"]
    async with alice.connects(headers={"Authorization": f"Bearer {token}"}) as socket:
        refreshed = await alice.post("/v1/auth/refresh", {"refresh_token": alice.credentials["refresh_token"]})
        refreshed.expecting(200)
        assert await socket.asks("ping") == {}
        again = await alice.post("/v1/auth/password", {"current_password": PASSWORD, "new_password": "new words"})
        again.expecting(204)
        assert await socket.asks("ping") == {}


@pytest.mark.parametrize("key", [{"client_id": "k"}, {"operation_id": 7}], ids=["client_id", "operation_id"])
async def test_copies_that_leave_in_one_breath_are_one_message_and_overtake_nobody(alice, key):
    lunch = await alice.opens_chat("lunch")
    async with alice.connects() as hers:
        said = [("a", key), ("a", key), ("b", key), ("c", {})]
        answers = [await hers.sends("new_message", chat_id=lunch, text=text, **keys) for text, keys in said]

        async with asyncio.timeout(10):
            first, copy, other, last = await asyncio.gather(*answers, return_exceptions=True)

        assert copy["result"]["message_id"] == first["result"]["message_id"]
        assert copy["replayed"] and "replayed" not in first
        assert other.code == "idempotency-conflict"
        assert last["result"]["seq"] == 2


async def test_a_command_that_takes_too_long_is_unknown_and_not_refused(hurried, sql):
    """A send that waits behind a lock for ever may be served in the end: no 4xx may say that nothing was done."""
    async with Person.registered(hurried, "alice") as alice:
        lunch = await alice.opens_chat("lunch")
        said = await says(alice, lunch, "pizza?")
        async with alice.connects() as hers, sql.transaction():
            await sql.execute("select 1 from chats where id = $1 for update", int(lunch))

            with pytest.raises(Refused) as refused:
                await hers.asks("edit_message", chat_id=lunch, message_id=said["message_id"], text="pasta?")

        assert refused.value.code == "unavailable"
