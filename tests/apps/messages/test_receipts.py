"""Read markers and receipts: who hears of them, and that nothing ever goes back."""

import asyncio
import random

import pytest

from tests.actors import Person
from tests.apps.talk import says

pytestmark = pytest.mark.shared


async def reads(person: Person, chat: str, message: dict) -> dict:
    answer = await person.post(f"/v1/chats/{chat}/read", {"message_id": message["message_id"]})
    return answer.expecting(200).json


async def test_a_receipt_goes_to_the_authors_and_to_the_readers_own_devices_only(alice, bob, mallory, start):
    elsewhere = await start()
    lunch = await alice.opens_chat("lunch", [bob, mallory])
    one, two = await says(alice, lunch, "one"), await says(alice, lunch, "two")
    async with (
        alice.connects(elsewhere) as author,
        bob.connects() as reader,
        bob.connects(elsewhere) as phone,
        mallory.connects() as third,
        alice.streams("ndjson") as stream,
    ):
        marker = await reader.asks("read_message", chat_id=lunch, id=one["message_id"])
        assert marker["read_seq"] == 1
        receipt = await author.hears()
        assert {name: receipt[name] for name in ("type", "chat_id", "reads")} == {
            "type": "message_read",
            "chat_id": lunch,
            "reads": [{"user_id": bob.user_id, "from_seq": 1, "to_seq": 1, "message_id": one["message_id"]}],
        }
        assert await reader.hears() == await phone.hears() == await stream.hears() == receipt
        # Again, and back: nothing moves, nobody is told.
        assert (await reader.asks("read_message", chat_id=lunch, id=one["message_id"]))["read_seq"] == 1
        await reads(bob, lunch, two)
        assert (await author.hears())["reads"][0] == {
            "user_id": bob.user_id,
            "from_seq": 2,
            "to_seq": 2,
            "message_id": two["message_id"],
        }
        await reads(bob, lunch, one)
        (await mallory.post(f"/v1/messages/read/{two['message_id']}")).expecting(200)
        run = await third.hears("message_read_by_all")
        assert (run["from_seq"], run["to_seq"], run["message_id"]) == (1, 2, two["message_id"])
        assert await author.hears("message_read_by_all") == await reader.hears("message_read_by_all") == run
        await says(alice, lunch, "end")
        await third.hears("new_message")
        mine = [event["reads"][0]["user_id"] for event in third.heard if event["type"] == "message_read"]
        assert mine == [mallory.user_id]
        assert [event["type"] for event in reader.heard].count("message_read") == 2


async def test_who_reads_an_older_message_is_told_how_far_he_has_read(alice, bob):
    lunch = await alice.opens_chat("lunch", [bob])
    one, two = await says(alice, lunch, "one"), await says(alice, lunch, "two")

    answers = [await reads(bob, lunch, two), await reads(bob, lunch, one)]
    async with bob.connects() as phone:
        answers.append(await phone.asks("read_message", chat_id=lunch, id=one["message_id"]))

    assert [answer["read_seq"] for answer in answers] == [2, 2, 2]


async def test_sending_moves_the_senders_own_marker(alice, bob):
    lunch = await alice.opens_chat("lunch", [bob])
    await says(alice, lunch, "one")
    await says(alice, lunch, "two")
    assert (await bob.sees(lunch))["unread"] == 2
    async with alice.connects() as hers:
        await says(bob, lunch, "three")

        assert (await bob.sees(lunch))["unread"] == 0
        assert [(await hers.hears())["type"] for _ in range(2)] == ["new_message", "message_read_by_all"]
        assert [event["type"] for event in hers.heard].count("message_read") == 0
        page = (await alice.get(f"/v1/chats/{lunch}/messages?limit=9")).json
        assert [message["is_read"] for message in page["messages"]] == [True, True, False]


async def test_each_message_is_read_by_all_once_however_people_come_and_go(alice, bob, mallory):
    lunch = await alice.opens_chat("lunch", [bob, mallory])
    said = [await says(alice, lunch, f"{number}") for number in range(6)]
    async with alice.connects() as hers:
        await reads(bob, lunch, said[3])
        (await mallory.leaves(lunch)).expecting(204)  # she was the last who had not read them
        run = await hers.hears("message_read_by_all")
        assert (run["from_seq"], run["to_seq"]) == (1, 4)
        (await mallory.joins(lunch)).expecting(201)  # at the head: what all had read stays so
        page = (await alice.get(f"/v1/chats/{lunch}/messages?limit=9")).json["messages"]
        assert [message["is_read"] for message in page] == [True] * 4 + [False] * 2
        await reads(bob, lunch, said[5])
        run = await hers.hears("message_read_by_all")
        assert (run["from_seq"], run["to_seq"]) == (5, 6)
        for person in (bob, mallory):
            (await person.leaves(lunch)).expecting(204)
        alone = await says(alice, lunch, "anybody?")
        page = (await alice.get(f"/v1/chats/{lunch}/messages?limit=9")).json["messages"]
        assert [message["is_read"] for message in page] == [True] * 6 + [False]
        (await bob.joins(lunch)).expecting(201)
        last = await says(bob, lunch, "me")
        await reads(alice, lunch, last)
        told = []
        while not told or told[-1]["to_seq"] < last["seq"]:
            told.append(await hers.hears("message_read_by_all"))
        runs = [(one["from_seq"], one["to_seq"]) for one in hers.heard if one["type"] == "message_read_by_all"]
        numbers = [number for first, end in runs for number in range(first, end + 1)]
        assert numbers == list(range(1, last["seq"] + 1)), runs
        assert alone["seq"] == 7


async def test_marks_from_many_devices_in_any_order_end_at_the_greatest(alice, bob, start):
    elsewhere = await start()
    lunch = await alice.opens_chat("lunch", [bob])
    said = [await says(alice, lunch, f"{number}") for number in range(12)]
    dice = random.Random(5)
    async with bob.connects() as one, bob.connects(elsewhere) as two, alice.connects(elsewhere) as hers:
        shuffled = said * 3
        dice.shuffle(shuffled)
        answers = [
            await dice.choice((one, two)).sends("read_message", chat_id=lunch, id=message["message_id"])
            for message in shuffled[:30]
        ]
        posts = [reads(bob, lunch, message) for message in shuffled[30:]]
        await asyncio.gather(*answers, *posts)
        await reads(bob, lunch, said[-1])

        run = (0, 0)
        while run[1] < 12:
            event = await hers.hears("message_read")
            (mark,) = event["reads"]
            assert mark["from_seq"] == run[1] + 1 <= mark["to_seq"], "back, or with a hole"
            run = (mark["from_seq"], mark["to_seq"])
    cursors = (await alice.get(f"/v1/chats/{lunch}/messages?limit=1")).json["read_cursors"]
    assert {one["user_id"]: (one["read_seq"], one["message_id"]) for one in cursors} == {
        alice.user_id: (12, said[-1]["message_id"]),
        bob.user_id: (12, said[-1]["message_id"]),
    }


async def test_nobody_marks_for_another_nor_where_one_is_a_stranger(alice, bob, mallory):
    lunch, other = await alice.opens_chat("lunch", [bob]), await alice.opens_chat("other", [bob])
    message, elsewhere = await says(alice, lunch, "hi"), await says(alice, other, "ho")
    body = {"message_id": message["message_id"], "user_id": bob.user_id}
    assert (await mallory.post(f"/v1/chats/{lunch}/read", body)).code == "chat-not-found"
    assert (await mallory.post(f"/v1/messages/read/{message['message_id']}")).code == "message-not-found"
    assert (await mallory.post("/v1/messages/read/999999")).code == "message-not-found"
    assert (await bob.post(f"/v1/chats/{lunch}/read", {"message_id": elsewhere["message_id"]})).code == (
        "message-not-found"
    )
    (await alice.post(f"/v1/chats/{lunch}/read", body)).expecting(200)  # her own marker, whatever it says
    assert (await bob.sees(lunch))["unread"] == 1
    for bad in ({}, {"message_id": True}, {"message_id": "x"}, {"message_id": None}, {"message_id": 1.5}):
        assert (await bob.post(f"/v1/chats/{lunch}/read", bad)).code == "bad-parameters", bad
