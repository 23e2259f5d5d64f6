"""The audit says who added, promoted and removed each member, and nothing that was refused."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from tests.actors import Person, Server

pytestmark = pytest.mark.shared

Row = tuple[str, str | None, str | None, str]


async def story(sql: asyncpg.Connection, chat: str, *people: Person) -> list[Row]:
    """What was done, who did it, and the person it was done to."""
    names = {int(one.user_id): one.name for one in people}
    rows = await sql.fetch("select * from audit where chat_id = $1 order by id", int(chat))
    return [(row["event"], names.get(row["user_id"]), names.get(row["subject_id"]), row["detail"]) for row in rows]


async def test_the_audit_tells_who_did_what_to_whom(
    alice: Person, bob: Person, carol: Person, mallory: Person, sql: asyncpg.Connection
) -> None:
    everybody = (alice, bob, carol, mallory)
    chat = await alice.opens_chat("lunch", members=[bob])
    await alice.makes(chat, bob, "admin")
    await bob.invites(chat, carol)
    await mallory.joins(chat)
    await mallory.joins(chat, "The cook")  # a name is no membership
    await bob.removes(chat, mallory)
    await carol.leaves(chat)

    assert await story(sql, chat, *everybody) == [
        ("member_added", "alice", "alice", "owner"),
        ("member_added", "alice", "bob", "member"),
        ("role_changed", "alice", "bob", "member to admin"),
        ("member_added", "bob", "carol", "member"),
        ("member_added", "mallory", "mallory", "member"),
        ("member_removed", "bob", "mallory", "member"),
        ("member_removed", "carol", "carol", "member"),
    ]
    group = {"name": "team", "participant_user_ids": [bob.user_id]}
    made = (await alice.post("/v1/groups", group)).expecting(201).json["chat_id"]
    assert [row[:3] for row in await story(sql, made, *everybody)] == [
        ("member_added", "alice", "alice"),
        ("member_added", "alice", "bob"),
    ]


@pytest.mark.alone
async def test_what_was_refused_and_what_changed_nothing_is_not_in_it(
    alice: Person, bob: Person, mallory: Person, sql: asyncpg.Connection
) -> None:
    chat = await alice.opens_chat("lunch", members=[bob], join="invite")
    before = await story(sql, chat, alice, bob)

    for refused in (
        bob.makes(chat, bob, "owner"),
        bob.removes(chat, alice),
        bob.invites(chat, mallory),
        mallory.joins(chat),
        mallory.leaves(chat),
        alice.leaves(chat),
        alice.invites(chat, bob, mallory),
    ):
        assert (await refused).status in {403, 404, 409}
    (await alice.makes(chat, bob, "member")).expecting(200)
    await alice.talks_to(bob)

    assert await story(sql, chat, alice, bob) == before
    assert await sql.fetchval("select count(*) from audit where chat_id is not null") == len(before)


async def test_a_row_says_through_which_session_and_request(
    alice: Person, bob: Person, sql: asyncpg.Connection
) -> None:
    chat = await alice.opens_chat("lunch")
    session = next(one["id"] for one in (await alice.get("/v1/auth/sessions")).json["sessions"] if one["current"])

    body = {"user_ids": [bob.user_id]}
    await alice.post(f"/v1/chats/{chat}/members", body, headers={"X-Request-ID": "by-hand"})

    row = await sql.fetchrow("select * from audit where request_id = 'by-hand'")
    assert (row["event"], row["session_id"], row["address"]) == ("member_added", int(session), "127.0.0.1")


async def test_who_inherits_a_chat_is_told_with_the_account_that_went(
    alice: Person, bob: Person, sql: asyncpg.Connection
) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    before = len(await story(sql, chat, alice, bob))

    (await alice.asks("DELETE", "/v1/users/me")).expecting(204)

    assert (await story(sql, chat, alice, bob))[before:] == [("role_changed", "alice", "bob", "member to owner")]
    gone = await sql.fetchval(
        "select count(*) from audit where event = 'account_deleted' and user_id = $1", int(alice.user_id)
    )
    assert gone == 1


@pytest.mark.alone
async def test_on_a_rig_without_sign_in_nobody_in_particular_did_it(
    start: Callable[..., Awaitable[Server]], sql: asyncpg.Connection
) -> None:
    server = await start(AUTH_DISABLED="true")
    async with Person.stranger(server) as somebody:
        chat = (await somebody.post("/v1/chats", {"chat_name": "rig"})).expecting(201).json["chat_id"]
        guest = (await somebody.joins(chat, "guest")).expecting(201).json["user_id"]

    rows = await sql.fetch("select event, user_id, subject_id from audit")
    assert [tuple(row) for row in rows] == [("member_added", None, int(guest))]
