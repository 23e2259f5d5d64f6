"""A test rig without sign-in: everybody reads every chat, and a person who takes part gets an account for it."""

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from tests.actors import Person, Server

pytestmark = pytest.mark.usefixtures("floors_are_true")

Start = Callable[..., Awaitable[Server]]


@pytest.fixture
async def server(start: Start) -> Server:
    return await start(AUTH_DISABLED="true")


@pytest.fixture
async def passer_by(server: Server) -> AsyncIterator[Person]:
    async with Person.stranger(server) as person:
        yield person


async def test_a_chat_that_nobody_makes_has_no_owner(passer_by: Person) -> None:
    made = (await passer_by.post("/v1/chats", {"chat_name": "rig"})).expecting(201).json["chat"]

    assert (made["creator_id"], made["role"], made["member_count"], made["unread"]) == (None, None, 0, 0)
    assert (await passer_by.sees(made["chat_id"])) == made


async def test_every_joining_is_somebody_new_even_of_the_same_name(passer_by: Person, sql: asyncpg.Connection) -> None:
    chat = await passer_by.opens_chat("rig")

    ids = [(await passer_by.joins(chat, name)).expecting(201).json["user_id"] for name in ("ann", "ann", "bob")]

    assert len(set(ids)) == 3
    found = (await passer_by.get(f"/v1/chats/{chat}/members")).expecting(200).json["members"]
    assert [(one["user_id"], one["user_name"]) for one in found] == list(zip(ids, ("ann", "ann", "bob"), strict=True))
    accounts = await sql.fetch("select name, name_key, password_hash from users")
    assert all(row["name"].startswith("guest-") and row["name_key"] is row["password_hash"] is None for row in accounts)


async def test_a_guests_name_is_taken_from_nobody(passer_by: Person, alice: Person) -> None:
    chat = await passer_by.opens_chat("rig")

    (await passer_by.joins(chat, "alice")).expecting(201)
    (await alice.joins(chat, "alice")).expecting(201)

    found = (await alice.get(f"/v1/chats/{chat}/members")).json["members"]
    assert [one["user_name"] for one in found] == ["alice", "alice"]


async def test_everybody_reads_every_chat_and_nothing_more(passer_by: Person, alice: Person, mallory: Person) -> None:
    chat = await alice.opens_chat("board", join="invite")

    for person in (passer_by, mallory):
        seen = await person.sees(chat)
        assert (seen["name"], seen["role"], seen["read_seq"]) == ("board", None, 0)
        (await person.get(f"/v1/chats/{chat}/members")).expecting(200)
        assert (await person.joins(chat, "me too")).expecting(404).code == "chat-not-found"
    assert (await mallory.changes(chat, chat_name="mine")).expecting(404).code == "chat-not-found"
    assert (await mallory.get("/v1/chats")).expecting(200).json["chats"] == []


async def test_what_is_about_a_person_needs_one_who_is_signed_in(passer_by: Person, alice: Person) -> None:
    chat = await alice.opens_chat("lunch")
    asked = [
        passer_by.get("/v1/chats"),
        passer_by.get("/v1/sync"),
        passer_by.post(f"/v1/users/{alice.user_id}/chat"),
        passer_by.post("/v1/groups", {"name": "x", "participant_user_ids": []}),
        passer_by.changes(chat, chat_name="x"),
        passer_by.deletes(chat),
        passer_by.invites(chat, alice),
        passer_by.makes(chat, alice, "member"),
        passer_by.leaves(chat),
    ]

    for request in asked:
        assert (await request).expecting(401).code == "auth-failed"


async def test_who_is_signed_in_is_themselves_as_everywhere(alice: Person) -> None:
    chat = await alice.opens_chat("lunch")

    joined = (await alice.joins(chat, "The boss")).expecting(201).json

    assert joined == {"user_id": alice.user_id}
    assert (await alice.sees(chat))["role"] == "owner"
