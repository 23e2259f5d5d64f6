"""Groups: chats for those who were asked."""

import asyncpg
import pytest
from sqlalchemy import event

from messenger.web.app_keys import DATABASE
from tests.actors import Person
from tests.apps.chats.conftest import Crowd, synced

pytestmark = [pytest.mark.usefixtures("floors_are_true"), pytest.mark.shared]


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


@pytest.mark.alone
async def test_of_somebody_unknown_or_too_many_nothing_is_made(alice: Person, sql: asyncpg.Connection) -> None:
    unknown = await alice.post("/v1/groups", {"name": "hiking", "participant_user_ids": ["999999"]})
    many = await alice.post("/v1/groups", {"name": "hiking", "participant_user_ids": list(range(1, 1002))})
    unnamed = await alice.post("/v1/groups", {"participant_user_ids": []})

    assert unknown.expecting(404).code == "user-not-found"
    assert many.expecting(400).json["errors"][0]["pointer"] == "/participant_user_ids"
    assert unnamed.expecting(400).json["errors"][0]["pointer"] == "/name"
    assert await sql.fetchval("select count(*) from chats") == 0


async def test_a_thousand_people_are_in_a_group_from_its_beginning(
    alice: Person, crowd: Crowd, sql: asyncpg.Connection
) -> None:
    ids = await crowd(1000)

    group = (await alice.post("/v1/groups", {"name": "hall", "participant_user_ids": ids})).expecting(201).json

    assert group["member_count"] == 1001
    assert {one["user_id"] for one in group["participants"]} == {alice.user_id, *ids}
    about = "from log_entries where kind = 'member_added' and topic_chat = $1"
    assert await sql.fetchval(f"select count(distinct topic_user) {about}", int(group["chat_id"])) == 1001
    unstamped = "select count(*) from members m where chat_id = $1 and not exists (select 1 from log_entries e"
    unstamped += " where e.position = m.since and e.topic_user = m.user_id)"
    assert await sql.fetchval(unstamped, int(group["chat_id"])) == 0
    told = "select count(distinct subject_id) from audit where event = 'member_added' and chat_id = $1"
    assert await sql.fetchval(told, int(group["chat_id"])) == 1001


async def test_a_thousand_take_no_more_statements_than_one(alice: Person, crowd: Crowd) -> None:
    ids = await crowd(1001)
    engine = alice.server.runner.app[DATABASE].engine.sync_engine
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *about: statements.append(about[2]))
    writes = ("INSERT", "UPDATE", "select last from log_emit")  # others in the process only look meanwhile

    counts = []
    for people in ([ids[-1]], ids[:1000]):
        statements.clear()
        (await alice.post("/v1/groups", {"name": "hall", "participant_user_ids": people})).expecting(201)
        counts.append(sum(one.startswith(writes) for one in statements))

    assert counts[0] == counts[1] > 0
