"""Groups: chats for those who were asked."""

import asyncpg
import pytest

from tests.actors import Person
from tests.apps.chats.conftest import synced

pytestmark = pytest.mark.usefixtures("floors_are_true")


async def test_the_author_is_in_it_whether_named_or_not(alice: Person, bob: Person) -> None:
    for ids in ([bob.user_id], [bob.user_id, alice.user_id, bob.user_id]):
        group = (await alice.post("/v1/groups", {"name": " hiking ", "participant_user_ids": ids})).expecting(201).json

        assert (group["name"], group["creator_id"], group["member_count"]) == ("hiking", alice.user_id, 2)
        assert group["participants"] == [
            {"user_id": alice.user_id, "user_name": "alice", "role": "owner"},
            {"user_id": bob.user_id, "user_name": "bob", "role": "member"},
        ]
        assert (await bob.get(f"/v1/groups/{group['group_id']}")).expecting(200).json == group


async def test_a_group_is_a_chat_that_nobody_joins_by_themselves(alice: Person, bob: Person, mallory: Person) -> None:
    body = {"name": "hiking", "participant_user_ids": [bob.user_id]}
    chat = (await alice.post("/v1/groups", body)).expecting(201).json["chat_id"]

    seen = await bob.sees(chat)
    assert (seen["kind"], seen["name"], seen["join"], seen["role"]) == ("group", "hiking", "invite", "member")
    assert (await mallory.joins(chat)).expecting(404).code == "chat-not-found"
    assert (await mallory.get(f"/v1/groups/{chat}")).expecting(404).code == "group-not-found"
    assert [one["chat_id"] for one in (await synced(bob))["chats"]] == [chat]


async def test_a_chat_that_is_no_group_is_none(alice: Person) -> None:
    chat = await alice.opens_chat("lunch")

    for group in (chat, "999999", "x", "0"):
        assert (await alice.get(f"/v1/groups/{group}")).expecting(404).code == "group-not-found"


async def test_of_somebody_unknown_or_too_many_nothing_is_made(alice: Person, sql: asyncpg.Connection) -> None:
    unknown = await alice.post("/v1/groups", {"name": "hiking", "participant_user_ids": ["999999"]})
    many = await alice.post("/v1/groups", {"name": "hiking", "participant_user_ids": list(range(1, 102))})
    unnamed = await alice.post("/v1/groups", {"participant_user_ids": []})

    assert unknown.expecting(404).code == "user-not-found"
    assert many.expecting(400).json["errors"][0]["pointer"] == "/participant_user_ids"
    assert unnamed.expecting(400).json["errors"][0]["pointer"] == "/name"
    assert await sql.fetchval("select count(*) from chats") == 0
