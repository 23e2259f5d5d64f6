"""A chat from its making to its end, as the people in it see it."""

from typing import Any

import asyncpg
import pytest

from tests.actors import Person
from tests.apps.chats.conftest import Read, Say, synced

pytestmark = [pytest.mark.usefixtures("floors_are_true"), pytest.mark.shared]

NO_NAMES = ("", "   ", "a" * 256, "\u202elunch", "lu\nnch", "\u200b", 7, None, ["lunch"], True)


# --- making


async def test_a_new_chat_belongs_to_its_maker_and_is_open(alice: Person, bob: Person) -> None:
    made = (await alice.post("/v1/chats", {"chat_name": "  lunch ", "member_ids": [bob.user_id]})).expecting(201).json

    chat = made["chat"]
    assert made["chat_id"] == chat["chat_id"]
    assert (chat["kind"], chat["name"], chat["join"], chat["role"]) == ("chat", "lunch", "open", "owner")
    assert (chat["creator_id"], chat["member_count"], chat["last_message"]) == (alice.user_id, 2, None)
    assert (chat["head_seq"], chat["read_seq"], chat["read_by_all_seq"], chat["unread"]) == (0, 0, 0, 0)
    assert "peer_id" not in chat
    assert (await alice.sees(made["chat_id"])) == chat
    assert (await bob.sees(made["chat_id"])) == {**chat, "role": "member"}


async def test_people_named_twice_by_number_or_text_or_being_oneself_count_once(alice: Person, bob: Person) -> None:
    ids = [int(bob.user_id), bob.user_id, alice.user_id]

    made = await alice.post("/v1/chats", {"chat_name": "lunch", "member_ids": ids})

    assert made.expecting(201).json["chat"]["member_count"] == 2


async def test_a_name_that_is_none_is_refused_with_its_place(alice: Person) -> None:
    chat = await alice.opens_chat("lunch")

    for name in NO_NAMES:
        for refused in (await alice.post("/v1/chats", {"chat_name": name}), await alice.changes(chat, chat_name=name)):
            assert refused.expecting(400).json["errors"][0]["pointer"] == "/chat_name", name

    assert (await alice.sees(chat))["name"] == "lunch"


async def test_the_longest_name_and_the_strangest_letters_are_kept_as_they_are(alice: Person) -> None:
    for name in ("a" * 255, "<script>alert(1)</script>", "обед 🍕", "{{7*7}}"):
        assert (await alice.sees(await alice.opens_chat(name)))["name"] == name


async def test_what_cannot_be_meant_is_refused(alice: Person) -> None:
    ids: tuple[Any, ...] = ("1", ["x"], [True], [0], [2**53], [1.5], list(range(1, 1002)))

    for field, value in [("join", "closed"), ("join", None), *(("member_ids", value) for value in ids)]:
        refused = await alice.post("/v1/chats", {"chat_name": "lunch", field: value})

        assert refused.expecting(400).json["errors"][0]["pointer"].startswith(f"/{field}"), value


@pytest.mark.alone
async def test_with_somebody_who_does_not_exist_nothing_is_made(alice: Person, sql: asyncpg.Connection) -> None:
    refused = await alice.post("/v1/chats", {"chat_name": "lunch", "member_ids": ["999"]})

    assert refused.expecting(404).code == "user-not-found"
    assert await sql.fetchval("select count(*) from chats") == 0
    assert (await synced(alice))["chats"] == []


async def test_fields_that_are_not_mine_to_set_are_not_obeyed(alice: Person, bob: Person) -> None:
    body = {"chat_name": "lunch", "creator_id": bob.user_id, "role": "member", "head_seq": 9, "kind": "direct"}

    chat = (await alice.post("/v1/chats", body)).expecting(201).json["chat"]

    assert (chat["creator_id"], chat["role"], chat["head_seq"], chat["kind"]) == (alice.user_id, "owner", 0, "chat")


# --- looking


async def test_my_chats_come_latest_first_and_what_is_said_moves_one_up(alice: Person, bob: Person, say: Say) -> None:
    lunch = await alice.opens_chat("lunch", members=[bob])
    board = await alice.opens_chat("board")
    assert await listed(alice) == [board, lunch]

    pizza = await say(bob, lunch, "pizza?")

    assert await listed(alice) == [lunch, board]
    chat = (await alice.get("/v1/chats")).json["chats"][0]
    last = chat["last_message"]
    assert (last["message_id"], last["seq"], last["text"], last["deleted"]) == (pizza, 1, "pizza?", False)
    assert (last["sender_id"], last["sender_name"]) == (bob.user_id, "bob")
    assert (chat["head_seq"], chat["read_seq"], chat["unread"]) == (1, 0, 1)


async def test_my_list_holds_no_chat_of_others(alice: Person, bob: Person) -> None:
    await alice.opens_chat("lunch")

    assert await listed(bob) == []


async def test_pages_of_my_chats_hold_all_of_them_once(alice: Person, bob: Person) -> None:
    chats = [await alice.opens_chat(f"chat {number}") for number in range(7)]
    chats.append(await alice.talks_to(bob))

    found, iterator = [], ""
    while iterator is not None:
        page = (await alice.get(f"/v1/chats?limit=3{iterator and '&from=' + iterator}")).expecting(200).json
        assert len(page["chats"]) <= 3
        found += [chat["chat_id"] for chat in page["chats"]]
        iterator = page["next"]["iterator"]

    assert found == chats[::-1]


async def test_an_iterator_that_is_none_is_refused(alice: Person) -> None:
    strange = ("x", "1.", "1.2.3", "-1.2", "9" * 40 + ".1", "9999999999999999.1", "%00", "", "1.2%0A")

    for path, iterators in (("/v1/chats", (*strange, "1")), ("/v1/chats/1/members", (*strange, "1.2"))):
        for iterator in iterators:
            refused = (await alice.get(f"{path}?from={iterator}")).expecting(400)
            assert refused.json["errors"][0]["pointer"] == "from", iterator


async def test_who_has_seen_exactly_this_is_told_so(alice: Person, bob: Person, say: Say) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    for path in ("/v1/chats", f"/v1/chats/{chat}", f"/v1/chats/{chat}/members"):
        tag = (await alice.get(path)).expecting(200).headers["ETag"]
        assert tag.startswith('W/"')
        (await alice.get(path, headers={"If-None-Match": tag})).expecting(304)
        await alice.changes(chat, chat_name=f"after {path}")
        await say(alice, chat, f"after {path}")
        (await alice.get(path, headers={"If-None-Match": tag})).expecting(200)


async def test_what_is_read_is_not_unread(alice: Person, bob: Person, say: Say, read: Read) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    first = await say(alice, chat, "pizza?")
    await say(alice, chat, "or soup?")
    assert (await bob.sees(chat))["unread"] == 2

    await read(bob, chat, first)

    seen = await bob.sees(chat)
    assert (seen["unread"], seen["read_seq"], seen["read_by_all_seq"]) == (1, 1, 1)
    assert (await alice.sees(chat))["unread"] == 0


async def test_a_deleted_last_message_keeps_its_place_without_its_words(
    alice: Person, say: Say, sql: asyncpg.Connection
) -> None:
    chat = await alice.opens_chat("lunch")
    await say(alice, chat, "nonsense")
    await sql.execute("update messages set text = '', deleted_at = now()")

    last = (await alice.sees(chat))["last_message"]

    assert (last["text"], last["deleted"], last["seq"]) == ("", True, 1)


async def test_a_chat_made_by_hand_in_the_database_works_too(
    alice: Person, bob: Person, sql: asyncpg.Connection
) -> None:
    chat = str(await sql.fetchval("insert into chats default values returning id"))
    await sql.execute("insert into members (chat_id, user_id) values ($1, $2)", int(chat), int(alice.user_id))
    await sql.execute("select log_refloor($1)", int(chat))

    seen = await alice.sees(chat)

    assert (seen["name"], seen["creator_id"], seen["role"], seen["kind"]) == ("", None, "member", "chat")
    assert await listed(alice) == [chat]
    (await bob.joins(chat)).expecting(201)
    assert (await bob.sees(chat))["member_count"] == 2


# --- changing


async def test_a_chat_is_renamed_and_closed_for_everyone_in_it(alice: Person, bob: Person, mallory: Person) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])

    changed = (await alice.changes(chat, chat_name="dinner", join="invite")).expecting(200).json

    assert (changed["name"], changed["join"]) == ("dinner", "invite")
    assert (await bob.sees(chat))["name"] == "dinner"
    (await mallory.joins(chat)).expecting(404)


async def test_what_stays_as_it_was_is_no_news(alice: Person, sql: asyncpg.Connection) -> None:
    chat = await alice.opens_chat("lunch")
    before = await sql.fetchval("select max(position) from log_head")

    for change in ({"chat_name": "lunch"}, {"join": "open", "chat_name": " lunch "}):
        (await alice.changes(chat, **change)).expecting(200)

    assert await sql.fetchval("select max(position) from log_head") == before


async def test_i_mute_a_chat_for_myself_alone(alice: Person, bob: Person, sql: asyncpg.Connection) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    of_chat = "select count(*) from log_entries where topic_chat = $1"
    before = await sql.fetchval(of_chat, int(chat))

    muted = (await bob.changes(chat, muted_until="2030-01-01T03:00:00.5+03:00")).expecting(200).json

    assert muted["muted_until"] == "2030-01-01T00:00:00.500Z"
    assert (await alice.sees(chat))["muted_until"] is None
    assert (await bob.changes(chat, muted_until=None)).expecting(200).json["muted_until"] is None
    assert await sql.fetchval(of_chat, int(chat)) == before


async def test_a_moment_that_is_none_is_refused(alice: Person) -> None:
    chat = await alice.opens_chat("lunch")
    beyond = ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z")

    for moment in ("tomorrow", "2030-01-01", "2030-01-01T00:00:00", 7, *beyond):
        refused = (await alice.changes(chat, muted_until=moment)).expecting(400)

        assert refused.json["errors"][0]["pointer"] == "/muted_until", moment


async def test_a_change_that_is_not_all_mine_to_make_is_not_made_at_all(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])

    refused = await bob.changes(chat, chat_name="mine", muted_until="2030-01-01T00:00:00Z")

    assert refused.expecting(403).code == "forbidden"
    assert (await bob.sees(chat))["muted_until"] is None


# --- the end


async def test_a_deleted_chat_is_gone_for_everyone_in_every_way(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])

    (await alice.deletes(chat)).expecting(204)

    for person in (alice, bob):
        assert await listed(person) == []
        assert (await synced(person))["chats"] == []
        answers = [
            await person.get(f"/v1/chats/{chat}"),
            await person.get(f"/v1/chats/{chat}/members"),
            await person.changes(chat, chat_name="back"),
            await person.changes(chat, muted_until=None),
            await person.joins(chat),
            await person.leaves(chat),
            await person.invites(chat, bob),
            await person.makes(chat, bob, "owner"),
            await person.deletes(chat),
        ]
        assert {(answer.status, answer.code) for answer in answers} == {(404, "chat-not-found")}


# --- everything at once


async def test_sync_tells_who_i_am_and_all_of_my_chats_at_one_position(
    alice: Person, bob: Person, say: Say, sql: asyncpg.Connection
) -> None:
    lunch = await alice.opens_chat("lunch", members=[bob])
    direct = await bob.talks_to(alice)
    await say(bob, lunch, "pizza?")

    state = await synced(alice)

    assert state["user"] == (await alice.get("/v1/users/me")).json
    assert state["chats"] == (await alice.get("/v1/chats")).json["chats"]
    assert [chat["chat_id"] for chat in state["chats"]] == [lunch, direct]
    epoch, _, position = state["cursor"].partition(".")
    head = await sql.fetchrow("select position, epoch from log_head order by position desc limit 1")
    assert (epoch, int(position)) == (head["epoch"], head["position"])


async def test_words_that_are_paths_of_their_own_are_never_ids(alice: Person) -> None:
    for path in ("/v1/chats/search", "/v1/chats/%73earch"):
        assert (await alice.get(path)).expecting(405).code == "method-not-allowed"
    assert (await alice.get("/v1/chats/search/members")).expecting(404).code == "not-found"
    for path in ("/v1/chats/searching", "/v1/chats/lunch", "/v1/chats/lunch/members", "/v1/chats/0"):
        assert (await alice.get(path)).expecting(404).code == "chat-not-found"


async def listed(person: Person) -> list[str]:
    return [chat["chat_id"] for chat in (await person.get("/v1/chats")).expecting(200).json["chats"]]
