"""Coming into a chat, being somebody there, and leaving it."""

from typing import Any

import pytest

from tests.actors import Person
from tests.apps.chats.conftest import Crowd, Read, Say

pytestmark = [pytest.mark.usefixtures("floors_are_true"), pytest.mark.shared]


async def roles(person: Person, chat: str) -> dict[str, str]:
    found = (await person.get(f"/v1/chats/{chat}/members?limit=100")).expecting(200).json["members"]
    return {one["user_name"]: one["role"] for one in found}


# --- joining by oneself


async def test_i_join_an_open_chat_under_a_name_of_my_choice(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch")

    joined = (await bob.joins(chat, " The cook ")).expecting(201).json

    assert joined == {"user_id": bob.user_id}
    assert await roles(alice, chat) == {"alice": "owner", "The cook": "member"}


async def test_joining_again_is_a_new_name_and_never_a_second_seat(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])

    for name in ("The cook", "The baker"):
        (await bob.joins(chat, name)).expecting(201)
    (await alice.joins(chat, "The boss")).expecting(201)

    assert await roles(alice, chat) == {"The boss": "owner", "The baker": "member"}


async def test_my_own_name_is_no_name_for_this_chat_only(alice: Person) -> None:
    chat = await alice.opens_chat("lunch")
    await alice.joins(chat, "The boss")
    await alice.joins(chat, "alice")

    (await alice.asks("PATCH", "/v1/users/me", {"user_name": "alicia"})).expecting(200)

    assert await roles(alice, chat) == {"alicia": "owner"}


async def test_a_chat_for_the_invited_does_not_exist_for_others(alice: Person, mallory: Person) -> None:
    chat = await alice.opens_chat("board", join="invite")

    refused = await mallory.joins(chat)

    assert refused.expecting(404).code == "chat-not-found"
    assert same(refused, await mallory.joins("999999"))
    assert await roles(alice, chat) == {"alice": "owner"}


async def test_a_name_nobody_can_have_is_refused(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch")

    for name in ("", "  ", "a" * 256, "\u202ebob", None, 7):
        refused = await bob.post(f"/v1/chats/{chat}/users", {"user_name": name})
        assert refused.expecting(400).json["errors"][0]["pointer"] == "/user_name"

    assert await roles(alice, chat) == {"alice": "owner"}


async def test_who_joins_starts_at_the_head_and_sees_what_was_said(alice: Person, bob: Person, say: Say) -> None:
    chat = await alice.opens_chat("lunch")
    await say(alice, chat, "pizza?")
    last = await say(alice, chat, "anybody?")

    await bob.joins(chat)

    seen = await bob.sees(chat)
    assert (seen["head_seq"], seen["read_seq"], seen["unread"]) == (2, 2, 0)
    assert seen["last_message"]["text"] == "anybody?"
    found = (await alice.get(f"/v1/chats/{chat}/members")).json["members"]
    assert [(one["read_seq"], one["message_id"]) for one in found] == [(2, last), (2, last)]


async def test_who_comes_back_starts_at_the_head_again(alice: Person, bob: Person, say: Say) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    await bob.leaves(chat)
    await say(alice, chat, "he is gone")

    await bob.joins(chat)

    assert (await bob.sees(chat))["unread"] == 0


# --- being added


async def test_people_are_added_all_at_once(alice: Person, bob: Person, mallory: Person) -> None:
    chat = await alice.opens_chat("lunch", join="invite")

    added = (await alice.invites(chat, bob, mallory, bob)).expecting(201).json["members"]

    assert [(one["user_name"], one["role"], one["read_seq"]) for one in added] == [
        ("bob", "member", 0),
        ("mallory", "member", 0),
    ]
    assert await roles(bob, chat) == {"alice": "owner", "bob": "member", "mallory": "member"}


async def test_with_one_who_is_in_already_nobody_is_added(alice: Person, bob: Person, mallory: Person) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])

    assert (await alice.invites(chat, mallory, bob)).expecting(409).code == "already-member"
    assert (await alice.invites(chat, alice)).expecting(409).code == "already-member"

    assert await roles(alice, chat) == {"alice": "owner", "bob": "member"}


async def test_with_one_who_does_not_exist_nobody_is_added(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch")

    refused = await alice.post(f"/v1/chats/{chat}/members", {"user_ids": [bob.user_id, "999999"]})

    assert refused.expecting(404).code == "user-not-found"
    assert await roles(alice, chat) == {"alice": "owner"}


async def test_somebody_and_at_most_a_thousand_are_added_at_once(alice: Person) -> None:
    chat = await alice.opens_chat("lunch")

    for ids in ([], list(range(1, 1002)), ["me"], "1", None):
        refused = await alice.post(f"/v1/chats/{chat}/members", {"user_ids": ids})
        assert refused.expecting(400).json["errors"][0]["pointer"].startswith("/user_ids")


async def test_a_thousand_people_are_added_by_one_request(alice: Person, crowd: Crowd) -> None:
    chat = await alice.opens_chat("hall")
    ids = await crowd(1000)

    async with alice.connects() as socket:
        added = (await alice.post(f"/v1/chats/{chat}/members", {"user_ids": ids})).expecting(201).json["members"]

        assert [one["user_id"] for one in added] == ids
        assert [(await socket.hears("member_added"))["user_id"] for _ in ids] == ids
    assert (await alice.sees(chat))["member_count"] == 1001


async def test_a_thousand_people_are_in_a_new_chat_from_its_beginning(alice: Person, crowd: Crowd) -> None:
    ids = await crowd(1000)

    made = (await alice.post("/v1/chats", {"name": "hall", "member_ids": ids})).expecting(201).json

    assert made["chat"]["member_count"] == 1001


async def test_pages_of_members_hold_all_of_them_once(alice: Person, crowd: Crowd) -> None:
    ids = await crowd(12)
    chat = (await alice.post("/v1/chats", {"name": "crowd", "member_ids": ids})).expecting(201).json["chat_id"]

    found = await pages(alice, chat, 5)

    assert [len(page) for page in found] == [5, 5, 3]
    assert [one["user_id"] for page in found for one in page] == [alice.user_id, *ids]


async def test_a_page_of_members_holds_up_to_a_thousand_of_them(alice: Person, crowd: Crowd, say: Say) -> None:
    ids = await crowd(1000)
    chat = (await alice.post("/v1/chats", {"name": "hall", "member_ids": ids})).expecting(201).json["chat_id"]
    message = await say(alice, chat, "pizza?")

    found = await pages(alice, chat, 1000)

    assert [len(page) for page in found] == [1000, 1]
    assert [one["user_id"] for page in found for one in page] == [alice.user_id, *ids]
    mine, theirs = found[0][0], found[1][0]
    assert (mine["role"], mine["read_seq"], mine["message_id"]) == ("owner", 1, message)
    assert (theirs["role"], theirs["read_seq"], theirs["message_id"]) == ("member", 0, None)
    assert (await alice.get(f"/v1/chats/{chat}/members?limit=1001")).expecting(400).code == "bad-parameters"
    first = (await alice.get(f"/v1/chats/{chat}/members")).expecting(200).json
    assert (len(first["members"]), first["next"]["iterator"]) == (50, first["members"][-1]["user_id"])


async def pages(person: Person, chat: str, limit: int) -> list[list[Any]]:
    found, query = [], f"?limit={limit}"
    while True:
        page = (await person.get(f"/v1/chats/{chat}/members{query}")).expecting(200).json
        found.append(page["members"])
        if page["next"]["iterator"] is None:
            return found
        query = f"?limit={limit}&from={page['next']['iterator']}"


# --- roles


async def test_an_owner_makes_and_unmakes_admins_and_owners(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])

    for role in ("admin", "owner", "owner", "member"):
        changed = (await alice.makes(chat, bob, role)).expecting(200).json
        assert (changed["user_id"], changed["role"]) == (bob.user_id, role)
        assert (await bob.sees(chat))["role"] == role


async def test_a_role_that_is_none_or_a_person_who_is_not_in_is_refused(
    alice: Person, bob: Person, mallory: Person
) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])

    assert (await alice.makes(chat, bob, "king")).expecting(400).json["errors"][0]["pointer"] == "/role"
    assert (await alice.makes(chat, mallory, "admin")).expecting(404).code == "user-not-found"
    assert (await alice.asks("PATCH", f"/v1/chats/{chat}/members/x", {"role": "admin"})).code == "user-not-found"


async def test_the_only_owner_cannot_become_less(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])

    for role in ("admin", "member"):
        assert (await alice.makes(chat, alice, role)).expecting(409).code == "last-owner"

    await alice.makes(chat, bob, "owner")
    (await alice.makes(chat, alice, "member")).expecting(200)
    assert await roles(bob, chat) == {"alice": "member", "bob": "owner"}


# --- leaving and being removed


async def test_who_leaves_is_a_stranger_from_then_on(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch", members=[bob], join="invite")

    (await bob.leaves(chat)).expecting(204)

    assert (await bob.get(f"/v1/chats/{chat}")).expecting(404).code == "chat-not-found"
    assert (await bob.leaves(chat)).expecting(404).code == "chat-not-found"
    assert await roles(alice, chat) == {"alice": "owner"}


async def test_the_only_owner_cannot_leave_others_behind(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    assert (await alice.leaves(chat)).expecting(409).code == "last-owner"
    assert (await alice.removes(chat, alice)).expecting(409).code == "last-owner"

    await alice.makes(chat, bob, "owner")

    (await alice.leaves(chat)).expecting(204)
    assert await roles(bob, chat) == {"bob": "owner"}


async def test_with_its_last_member_a_chat_goes(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch")

    (await alice.leaves(chat)).expecting(204)

    for person in (alice, bob):
        assert (await person.joins(chat)).expecting(404).code == "chat-not-found"
        assert (await person.get(f"/v1/chats/{chat}")).expecting(404).code == "chat-not-found"


async def test_somebody_who_is_not_in_cannot_be_removed(alice: Person, mallory: Person) -> None:
    chat = await alice.opens_chat("lunch")

    assert (await alice.removes(chat, mallory)).expecting(404).code == "user-not-found"
    assert (await alice.asks("DELETE", f"/v1/chats/{chat}/members/0")).expecting(404).code == "user-not-found"


async def test_with_the_one_who_had_not_read_gone_everybody_has(
    alice: Person, bob: Person, mallory: Person, say: Say, read: Read
) -> None:
    chat = await alice.opens_chat("lunch", members=[bob, mallory])
    pizza = await say(alice, chat, "pizza?")
    await read(bob, chat, pizza)
    assert (await alice.sees(chat))["read_by_all_seq"] == 0

    await alice.removes(chat, mallory)

    assert (await alice.sees(chat))["read_by_all_seq"] == 1


def same(one, other) -> bool:  # type: ignore[no-untyped-def]
    """Nothing tells the two answers apart but the request's own name."""
    headers = [
        {name: value for name, value in answer.headers.items() if name not in {"X-Request-ID", "Date"}}
        for answer in (one, other)
    ]
    bodies = [{**answer.json, "request_id": ""} for answer in (one, other)]
    return (one.status, headers[0], bodies[0]) == (other.status, headers[1], bodies[1])
