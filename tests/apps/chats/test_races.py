"""Many at once: what must happen one after the other does."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import asyncpg
import pytest

from tests.actors import Answer, Person, Server

pytestmark = [pytest.mark.usefixtures("floors_are_true"), pytest.mark.shared]


async def until_somebody_waits(sql: asyncpg.Connection) -> None:
    """A command has come to a lock that another transaction holds."""
    async with asyncio.timeout(5):
        while not await sql.fetchval(
            "select exists (select 1 from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock')"
        ):
            await asyncio.sleep(0.01)


async def finished(meanwhile: Coroutine[Any, Any, Answer], dsn: str, sql: asyncpg.Connection, *held: str) -> Answer:
    """The answer to a request that came while another command held these locks, and did these things."""
    other = await asyncpg.connect(dsn)
    try:
        async with other.transaction():
            for statement in held:
                await other.execute(statement)
            request = asyncio.create_task(meanwhile)
            await until_somebody_waits(sql)
            assert not request.done()
        return await request
    finally:
        await other.close()


def lock(chat: str) -> str:
    return f"select 1 from chats where id = {chat} for no key update"


async def test_fifty_who_open_the_same_direct_chat_find_one(
    start: Callable[..., Awaitable[Server]], alice: Person, bob: Person, sql: asyncpg.Connection
) -> None:
    another = await start()  # a second worker
    asked = [
        who.post(f"/v1/users/{other.user_id}/chat", server=server)
        for number in range(25)
        for who, other in ((alice, bob), (bob, alice))
        for server in [another if number % 2 else alice.server]
    ]

    answers = await asyncio.gather(*asked)

    assert len(answers) == 50
    assert len({answer.json["chat_id"] for answer in answers}) == 1
    assert sorted(answer.status for answer in answers) == [200] * 49 + [201]
    assert await sql.fetchval("select count(*) from chats") == 1
    kinds = [row["kind"] for row in await sql.fetch("select kind from log_entries order by position")]
    assert kinds == ["member_added", "member_added", "chat_created"]


@pytest.mark.alone
async def test_who_opens_a_direct_chat_while_it_is_being_opened_finds_that_one(
    alice: Person, bob: Person, dsn: str, sql: asyncpg.Connection
) -> None:
    low, high = sorted((int(alice.user_id), int(bob.user_id)))
    opened = (
        f"insert into direct_chats (low, high, chat_id) values ({low}, {high}, 77)",
        "insert into chats (id, kind, join_rule) values (77, 'direct', 'invite')",
        f"insert into members (chat_id, user_id) values (77, {low}), (77, {high})",
        "select log_refloor(77)",
    )

    found = await finished(alice.post(f"/v1/users/{bob.user_id}/chat"), dsn, sql, *opened)

    assert found.expecting(200).json["chat_id"] == "77"
    assert await sql.fetchval("select count(*) from chats") == 1


async def test_joining_many_times_at_once_is_joining_once(alice: Person, bob: Person, sql: asyncpg.Connection) -> None:
    chat = await alice.opens_chat("lunch")

    answers = await asyncio.gather(*(bob.joins(chat) for _ in range(10)))

    assert [answer.status for answer in answers] == [201] * 10
    joined = "select count(*) from log_entries where kind = 'member_added' and topic_user = $1"
    assert await sql.fetchval(joined, int(bob.user_id)) == 1
    assert (await alice.sees(chat))["member_count"] == 2


async def test_one_who_joins_and_is_added_at_once_is_in_once(
    alice: Person, bob: Person, sql: asyncpg.Connection
) -> None:
    for _ in range(5):
        chat = await alice.opens_chat("lunch")

        joined, added = await asyncio.gather(bob.joins(chat), alice.invites(chat, bob))

        assert joined.status == 201
        assert added.status == 201 or (added.status, added.code) == (409, "already-member")
        assert (await alice.sees(chat))["member_count"] == 2


async def test_of_two_owners_who_unmake_each_other_one_stays(alice: Person, bob: Person) -> None:
    for _ in range(10):
        chat = await alice.opens_chat("lunch", members=[bob])
        await alice.makes(chat, bob, "owner")

        answers = await asyncio.gather(alice.makes(chat, bob, "member"), bob.makes(chat, alice, "member"))

        assert sorted(answer.status for answer in answers) == [200, 403]
        members = (await alice.get(f"/v1/chats/{chat}/members")).json["members"]
        assert sorted(one["role"] for one in members) == ["member", "owner"]


async def test_of_two_owners_who_leave_at_once_one_stays(alice: Person, bob: Person, carol: Person) -> None:
    for _ in range(10):
        chat = await alice.opens_chat("lunch", members=[bob, carol])
        await alice.makes(chat, bob, "owner")

        answers = await asyncio.gather(alice.leaves(chat), bob.leaves(chat))

        assert sorted(answer.status for answer in answers) == [204, 409]
        members = (await carol.get(f"/v1/chats/{chat}/members")).json["members"]
        assert sorted(one["role"] for one in members) == ["member", "owner"]


async def test_who_was_removed_renames_nothing_afterwards(alice: Person, bob: Person, sql: asyncpg.Connection) -> None:
    for number in range(10):
        chat = await alice.opens_chat("lunch", members=[bob])
        await alice.makes(chat, bob, "admin")

        removed, renamed = await asyncio.gather(alice.removes(chat, bob), bob.changes(chat, chat_name=f"bob {number}"))

        assert removed.status == 204
        history = await sql.fetch(
            "select kind, actor_id from log_entries where topic_chat = $1 order by position", int(chat)
        )
        after = history[[row["kind"] for row in history].index("member_removed") :]
        assert [row["actor_id"] for row in after] == [int(alice.user_id)]
        changed = (await alice.sees(chat))["name"] != "lunch"
        # A rename that came first may find its author gone when it is answered.
        assert changed if renamed.status == 200 else renamed.status == 404


# --- the same, step by step: a command waits for the one before it, and acts on what that has left


async def test_a_right_that_was_lost_while_waiting_is_lost(
    alice: Person, bob: Person, dsn: str, sql: asyncpg.Connection
) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    await alice.makes(chat, bob, "admin")
    lost = f"update members set role = 'member' where chat_id = {chat} and user_id = {bob.user_id}"

    refused = await finished(bob.changes(chat, chat_name="bob's"), dsn, sql, lock(chat), lost)

    assert refused.expecting(403).code == "forbidden"


async def test_a_chat_that_was_deleted_while_waiting_is_gone(
    alice: Person, bob: Person, dsn: str, sql: asyncpg.Connection
) -> None:
    chat = await alice.opens_chat("lunch")
    deleted = f"update chats set deleted_at = 1 where id = {chat}"

    for request in (bob.joins(chat), alice.invites(chat, bob), alice.changes(chat, chat_name="back")):
        refused = await finished(request, dsn, sql, lock(chat), deleted)
        await sql.execute(f"update chats set deleted_at = null where id = {chat}")

        assert refused.expecting(404).code == "chat-not-found"


async def test_who_joins_while_something_is_being_said_starts_behind_it(
    alice: Person, bob: Person, dsn: str, sql: asyncpg.Connection
) -> None:
    chat = await alice.opens_chat("lunch")
    said = f"""
        select log_append(array[{chat}]::bigint[], array[{alice.user_id}]::bigint[], array[null]::bigint[],
            array['k'], array[null]::smallint[], array['pizza?'], array[null]::bigint[],
            '{{}}', '{{}}', '{{}}', '{{}}', interval '5 minutes')
    """

    await finished(bob.joins(chat), dsn, sql, said)

    seen = await bob.sees(chat)
    assert (seen["head_seq"], seen["read_seq"], seen["last_message"]["text"]) == (1, 1, "pizza?")


async def test_a_new_name_waits_for_what_is_being_said_under_the_old_one(
    alice: Person, bob: Person, dsn: str, sql: asyncpg.Connection
) -> None:
    """Else a message with the old name could stand behind the news of the new one."""
    chat = await alice.opens_chat("lunch", members=[bob])
    renames = bob.asks("PATCH", "/v1/users/me", {"user_name": "robert"})

    (await finished(renames, dsn, sql, lock(chat))).expecting(200)

    assert (await alice.get(f"/v1/chats/{chat}/members")).json["members"][1]["user_name"] == "robert"


async def test_a_person_who_is_renamed_while_being_added_is_added_first_or_afterwards(
    alice: Person, bob: Person, dsn: str, sql: asyncpg.Connection
) -> None:
    chat = await alice.opens_chat("lunch")
    named = f"select 1 from users where id = {bob.user_id} for key share"  # as the one who adds does

    # Another spelling of the same name is no change of a key, and waits all the same.
    renames = bob.asks("PATCH", "/v1/users/me", {"user_name": "BOB"})
    (await finished(renames, dsn, sql, named)).expecting(200)

    (await alice.invites(chat, bob)).expecting(201)
    assert (await alice.get(f"/v1/chats/{chat}/members")).json["members"][1]["user_name"] == "BOB"


async def test_a_profile_that_is_changed_while_the_account_goes_stays_gone(
    bob: Person, dsn: str, sql: asyncpg.Connection
) -> None:
    gone = f"update users set name = 'Deleted account', name_key = null, deleted_at = now() where id = {bob.user_id}"

    refused = await finished(bob.asks("PATCH", "/v1/users/me", {"user_name": "robert"}), dsn, sql, gone)

    assert refused.expecting(401).code == "session-revoked"
    assert await sql.fetchval("select name from users where id = $1", int(bob.user_id)) == "Deleted account"


async def test_an_account_that_goes_while_its_person_is_being_added_is_not_added(
    alice: Person, bob: Person, dsn: str, sql: asyncpg.Connection
) -> None:
    chat = await alice.opens_chat("lunch")
    gone = f"update users set name_key = null, deleted_at = now() where id = {bob.user_id}"

    for request in (
        alice.invites(chat, bob),
        alice.post("/v1/chats", {"chat_name": "tea", "member_ids": [bob.user_id]}),
        alice.post("/v1/groups", {"name": "tea", "participant_user_ids": [bob.user_id]}),
        alice.post(f"/v1/users/{bob.user_id}/chat"),
    ):
        await sql.execute("update users set name_key = 'bob', deleted_at = null where id = $1", int(bob.user_id))
        refused = await finished(request, dsn, sql, gone)

        assert refused.expecting(404).code == "user-not-found"
    assert await sql.fetchval("select count(*) from members where user_id = $1", int(bob.user_id)) == 0


async def test_a_strangers_reference_to_a_chat_stops_nobody_in_it(
    alice: Person, bob: Person, dsn: str, sql: asyncpg.Connection
) -> None:
    chat = await alice.opens_chat("lunch")
    other = await asyncpg.connect(dsn)
    try:
        async with other.transaction():
            await other.execute(f"select 1 from chats where id = {chat} for key share")  # as a foreign key does

            (await bob.joins(chat)).expecting(201)
            (await alice.changes(chat, chat_name="dinner")).expecting(200)
            (await bob.leaves(chat)).expecting(204)
    finally:
        await other.close()
