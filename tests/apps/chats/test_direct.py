"""The chat between two people, and with oneself."""

import asyncpg
import pytest

from tests.actors import Person
from tests.apps.chats.conftest import Say, synced

pytestmark = [pytest.mark.usefixtures("floors_are_true"), pytest.mark.shared]


async def test_each_sees_the_other_in_the_one_chat_between_them(alice: Person, bob: Person, say: Say) -> None:
    made = (await alice.post(f"/v1/users/{bob.user_id}/chat")).expecting(201).json["chat_id"]
    found = (await bob.post(f"/v1/users/{alice.user_id}/chat")).expecting(200).json["chat_id"]

    assert made == found
    await say(alice, made, "hello")
    hers, his = await alice.sees(made), await bob.sees(made)
    assert (hers["name"], hers["peer_id"], hers["role"], hers["unread"]) == ("bob", bob.user_id, "member", 0)
    assert (his["name"], his["peer_id"], his["role"], his["unread"]) == ("alice", alice.user_id, "member", 1)
    assert (hers["kind"], hers["join"], hers["member_count"]) == ("direct", "invite", 2)


async def test_the_chat_with_myself_is_my_notes(alice: Person, bob: Person, say: Say) -> None:
    notes = (await alice.post("/v1/users/me/chat")).expecting(201).json["chat_id"]
    assert (await alice.post(f"/v1/users/{alice.user_id}/chat")).expecting(200).json["chat_id"] == notes

    await say(alice, notes, "milk")

    seen = await alice.sees(notes)
    assert (seen["kind"], seen["name"], seen["peer_id"], seen["member_count"]) == ("direct", "alice", alice.user_id, 1)
    assert (seen["unread"], seen["read_by_all_seq"]) == (0, 0)  # nobody else is there who could have read
    assert (await bob.get(f"/v1/chats/{notes}")).expecting(404).code == "chat-not-found"


async def test_the_name_follows_the_other_persons(alice: Person, bob: Person) -> None:
    chat = await alice.talks_to(bob)

    (await bob.asks("PATCH", "/v1/users/me", {"user_name": "robert"})).expecting(200)

    assert (await alice.sees(chat))["name"] == "robert"


@pytest.mark.alone
async def test_with_somebody_who_does_not_exist_there_is_no_chat(alice: Person, sql: asyncpg.Connection) -> None:
    for nobody in ("999999", "0", "x", "9007199254740993"):
        assert (await alice.post(f"/v1/users/{nobody}/chat")).expecting(404).code == "user-not-found"

    assert await sql.fetchval("select count(*) from direct_chats") == 0


async def test_it_stays_between_the_two(alice: Person, bob: Person, mallory: Person) -> None:
    chat = await alice.talks_to(bob)

    assert (await mallory.joins(chat)).expecting(404).code == "chat-not-found"
    assert (await alice.invites(chat, mallory)).expecting(403).code == "forbidden"
    assert (await alice.removes(chat, bob)).expecting(403).code == "forbidden"
    assert (await alice.leaves(chat)).expecting(403).code == "forbidden"
    assert (await alice.deletes(chat)).expecting(403).code == "forbidden"
    assert (await alice.makes(chat, bob, "owner")).expecting(403).code == "forbidden"
    assert (await alice.changes(chat, chat_name="us")).expecting(403).code == "forbidden"
    assert (await alice.joins(chat, "Ali")).expecting(403).code == "forbidden"
    assert (await alice.get(f"/v1/groups/{chat}")).expecting(404).code == "group-not-found"
    (await alice.changes(chat, muted_until="2030-01-01T00:00:00Z")).expecting(200)
    assert (await bob.sees(chat))["member_count"] == 2


async def test_two_people_have_one_chat_each_with_every_other(alice: Person, bob: Person, mallory: Person) -> None:
    chats = {await alice.talks_to(bob), await bob.talks_to(mallory), await mallory.talks_to(alice)}

    assert len(chats) == 3
    assert {chat["name"] for chat in (await synced(bob))["chats"]} == {"alice", "mallory"}
