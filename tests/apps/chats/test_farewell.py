"""What becomes of the chats of somebody who deletes the account."""

import asyncpg
import pytest

from tests.actors import Person
from tests.apps.chats.conftest import Read, Say, missed, synced

pytestmark = [pytest.mark.usefixtures("floors_are_true"), pytest.mark.shared]


async def goes(person: Person) -> None:
    (await person.asks("DELETE", "/v1/users/me")).expecting(204)


async def roles(person: Person, chat: str) -> dict[str, str]:
    found = (await person.get(f"/v1/chats/{chat}/members")).expecting(200).json["members"]
    return {one["user_name"]: one["role"] for one in found}


async def test_the_oldest_admin_inherits_before_any_member(alice: Person, bob: Person, carol: Person) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    await alice.invites(chat, carol)
    await alice.makes(chat, carol, "admin")

    await goes(alice)

    assert await roles(bob, chat) == {"bob": "member", "carol": "owner"}


async def test_without_an_admin_the_oldest_member_inherits(alice: Person, bob: Person, carol: Person) -> None:
    chat = await alice.opens_chat("lunch")
    await alice.invites(chat, carol)
    await alice.invites(chat, bob)

    await goes(alice)

    assert await roles(bob, chat) == {"carol": "owner", "bob": "member"}


async def test_where_there_is_another_owner_nobody_inherits(alice: Person, bob: Person, carol: Person) -> None:
    chat = await alice.opens_chat("lunch", members=[carol, bob])
    await alice.makes(chat, bob, "owner")

    await goes(alice)

    assert await roles(bob, chat) == {"carol": "member", "bob": "owner"}


@pytest.mark.alone
async def test_a_chat_of_nobody_else_goes_along(alice: Person, bob: Person, sql: asyncpg.Connection) -> None:
    alone = await alice.opens_chat("alone")
    await alice.talks_to(alice)

    await goes(alice)

    assert await sql.fetchval("select count(*) from chats where deleted_at is null") == 0
    assert (await bob.joins(alone)).expecting(404).code == "chat-not-found"


async def test_the_other_one_keeps_the_direct_chat_and_cannot_open_another(
    alice: Person, bob: Person, say: Say
) -> None:
    chat = await alice.talks_to(bob)
    await say(alice, chat, "farewell")

    await goes(alice)

    seen = await bob.sees(chat)
    assert (seen["name"], seen["peer_id"], seen["member_count"]) == ("Deleted account", alice.user_id, 1)
    assert (seen["last_message"]["text"], seen["last_message"]["sender_name"]) == ("farewell", "Deleted account")
    assert (await bob.post(f"/v1/users/{alice.user_id}/chat")).expecting(404).code == "user-not-found"
    assert (await bob.post("/v1/groups", {"name": "x", "participant_user_ids": [alice.user_id]})).status == 404


async def test_the_others_are_told_who_went_who_owns_it_now_and_what_all_have_read(
    alice: Person, bob: Person, carol: Person, say: Say, read: Read
) -> None:
    lunch = await alice.opens_chat("lunch", members=[bob, carol])
    tea = await bob.opens_chat("tea", members=[alice])
    pizza = await say(bob, lunch, "pizza?")
    await read(carol, lunch, pizza)
    state = await synced(bob)

    await goes(alice)

    told = [
        (event["type"], event["chat_id"], event.get("user_id"), event.get("member", {}).get("role"))
        for event in await missed(bob, state["cursor"])
        if event["type"] != "message_read_by_all"
    ]
    assert told == [
        ("member_removed", lunch, alice.user_id, None),
        ("member_changed", lunch, bob.user_id, "owner"),
        ("member_removed", tea, alice.user_id, None),
    ]
    assert (await bob.sees(lunch))["read_by_all_seq"] == 1
    assert await roles(bob, tea) == {"bob": "owner"}


async def test_chats_that_were_left_long_ago_hear_of_the_end_of_the_name(
    alice: Person, bob: Person, say: Say, sql: asyncpg.Connection
) -> None:
    chat = await bob.opens_chat("lunch", members=[alice])
    await say(alice, chat, "bye")
    await alice.leaves(chat)
    state = await synced(bob)

    await goes(alice)

    (told,) = await missed(bob, state["cursor"])
    assert (told["type"], told["user_id"]) == ("member_changed", alice.user_id)
    assert told["member"] == {"user_id": alice.user_id, "user_name": "Deleted account", "role": None}
    assert (await bob.sees(chat))["last_message"]["sender_name"] == "Deleted account"
    assert await sql.fetchval("select count(*) from former_members") == 0
