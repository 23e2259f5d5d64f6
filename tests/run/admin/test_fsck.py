"""fsck names what is damaged and repairs what can be derived; what is sound, also under load, it leaves in peace."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from messenger.apps.messages.schemas import KEY_LETTERS
from messenger.run.admin import fsck
from messenger.run.admin.damage import KINDS
from tests.actors import Person
from tests.apps.classic.older import all_chats, group, one_chat
from tests.apps.search.finding import indexed
from tests.apps.talk import says
from tests.run.admin.conftest import Admin, Past


async def test_what_was_sent_by_any_entrance_is_sound(
    alice: Person, bob: Person, dsn: str, sql: asyncpg.Connection
) -> None:
    lunch = await group(alice, bob)
    chat = str(lunch)
    async with (
        bob.connects() as ears,
        alice.connects() as socket,
        all_chats(alice) as older,
        one_chat(alice, lunch) as here,
    ):
        await says(alice, chat, "by REST")
        await says(alice, chat, "by REST", client_id="mine")
        await says(alice, chat, "by REST", operation_id=1)
        (await alice.post(f"/messages/user/{bob.user_id}", {"text": "by older REST"})).expecting(200)
        await socket.asks("new_message", chat_id=chat, text="by a socket")
        await socket.asks("new_message", chat_id=chat, text="by a socket", client_id="mine too")
        await socket.asks("new_message", chat_id=chat, text="by a socket", operation_id=2)
        await older.asks(type="new_message", chat_id=lunch, text="by an older socket")
        await here.asks(action="send_message", message_id=str(uuid4()), text="by the older socket of a chat")
        await sql.execute("select messenger.send($1, $2, 'by SQL')", lunch, int(alice.user_id))
        await sql.execute("select messenger.send($1, $2, 'by SQL', 'order-42')", lunch, int(alice.user_id))
        for _ in range(11):
            await ears.hears("new_message")

    stored = await sql.fetchval("select array_agg(distinct left(key, 1)) from messages")
    assert set(stored) == set(KEY_LETTERS), "each way of sending came up"
    assert await names(dsn) == set()


@dataclass(frozen=True)
class Plant:
    """A damage: how it is done past the server, what must be named, what is still there after --fix."""

    name: str
    sql: str
    named: set[str]
    stays: frozenset[str] = frozenset()


def cannot_be_repaired(name: str, sql: str, *named: str, also: tuple[str, ...] = ()) -> Plant:
    """`also`: what comes along and is repaired."""
    return Plant(name, sql, {*named, *also}, frozenset(named))


PLANTS = (
    Plant("a head too far", "update chats set head_seq = head_seq + 7 where id = {lunch}", {"heads"}),
    Plant("a head too low", "update chats set head_seq = 1, head_id = {first} where id = {lunch}", {"heads"}),
    Plant(
        "a marker beyond the chat",
        "update members set read_seq = 1000 where chat_id = {lunch} and user_id = {bob}",
        {"markers"},
    ),
    Plant(
        "a marker lost",
        "alter table members alter read_seq drop not null;"
        "update members set read_seq = null where chat_id = {group} and user_id = {carol}",
        {"markers"},
    ),
    Plant(
        "a marker behind what was said",
        "update members set read_seq = 0 where chat_id = {group} and user_id = {carol}",
        {"unread", "floors"},
    ),
    Plant("a floor too high", "update chats set floor_seq = floor_seq + 1 where id = {group}", {"floors"}),
    Plant("a floor miscounted", "update chats set floor_count = 9 where id = {group}", {"floors"}),
    Plant("read by all, but not", "update chats set read_seq = head_seq where id = {group}", {"floors"}),
    Plant("not read by all, but yes", "update chats set read_seq = 0 where id = {direct}", {"floors"}),
    Plant("a reaction to nothing", "insert into reactions values ({lunch}, 999999, 'x', {bob})", {"reactions"}),
    Plant("a forgotten trace", "delete from former_members where user_id = {carol}", {"former members"}),
    Plant(
        "an open door of a deleted account",
        "insert into sessions (user_id, token_hash, expires_at) values ({gone}, 'x', now() + interval '1 day')",
        {"sessions"},
    ),
    Plant("a message that is not found", "delete from search_documents where message_id = {first}", {"search"}),
    Plant("a wrong text in the index", "update search_documents set text = 'x' where chat_id = {group}", {"search"}),
    Plant("wrong words in the index", "update search_documents set ts = '' where chat_id = {group}", {"search"}),
    Plant(
        "a found message that is not there",
        "insert into search_documents select 1, 77, 1, 1, now(), 'x', ''::tsvector",
        {"search rows of nothing"},
    ),
    Plant(
        "a follower that ran ahead",
        "update log_followers set position = 1000000 where name like 'search%'",
        {"followers"},
    ),
    cannot_be_repaired(
        "a lost message",
        "delete from messages where chat_id = {group} and seq = 4",
        "numbers",
        "missing positions",
        also=("search rows of nothing",),
    ),
    cannot_be_repaired(
        "the last message lost",
        "delete from messages where chat_id = {group} and seq = 10",
        "heads",
        "missing positions",
        "markers",
        also=("search rows of nothing",),
    ),
    cannot_be_repaired(
        "a number given twice",
        "alter table messages drop constraint messages_pkey;"
        "update messages set seq = 3 where chat_id = {group} and seq = 4",
        "numbers",
        also=("search",),
    ),
    cannot_be_repaired(
        "messages that changed places",
        "alter table messages drop constraint messages_pkey;"
        "update messages set seq = 9 - seq where chat_id = {group} and seq in (4, 5)",
        "order",
        also=("search",),
    ),
    cannot_be_repaired(
        "a lost entry",
        "delete from log_entries where kind = 'message_edited'",
        "missing positions",
    ),
    cannot_be_repaired(
        "a position taken twice",
        "insert into log_entries (position, topic_chat, kind, at)"
        " select id, chat_id, 'chat_changed', sent_at from messages where id = {first}",
        "positions taken twice",
    ),
    cannot_be_repaired(
        "an entry from the future",
        "update members set since = 1000000 where chat_id = {direct} and user_id = {bob}",
        "beyond the head",
    ),
    cannot_be_repaired(
        "time that ran back",
        "update messages set sent_at = sent_at - interval '1 day' where id = {first} + 1",
        "time",
        also=("search",),
    ),
    cannot_be_repaired("an unknown epoch", "update log_head set epoch = 'stranger'", "epochs"),
    cannot_be_repaired(
        "an entry about nothing",
        "update log_entries set subject_id = 999999 where kind = 'message_edited'",
        "entries",
    ),
    cannot_be_repaired(
        "an answer to another chat",
        "update messages g set reply_to = {first}, body_hash = hashtextextended(text || '#' || {first}, 0)"
        " where chat_id = {group} and seq = 2",
        "replies",
    ),
    cannot_be_repaired(
        "a message of nobody",
        "update messages set sender_id = 999999 where chat_id = {direct}",
        "messages of nobody",
        also=("search",),
    ),
    cannot_be_repaired(
        "a message of somebody who had left",
        "update log_entries set kind = 'member_removed' where kind = 'member_added' and topic_chat = {group}"
        " and topic_user = (select sender_id from messages where chat_id = {group} and seq = 1)",
        "messages of strangers",
    ),
    cannot_be_repaired(
        "a message of no chat",
        "insert into messages (chat_id, seq, id, sender_id, key, body_hash, text, sent_at)"
        " select 999999, 1, position, {bob}, 'c:x', hashtextextended('x', 0), 'x', at"
        " from log_head order by position desc limit 1;"
        " delete from log_entries where position = (select max(position) from log_head)",
        "messages of no chat",
        also=("search",),
    ),
    cannot_be_repaired(
        "a member of no chat", "insert into members (chat_id, user_id) values (999999, {bob})", "members"
    ),
    cannot_be_repaired(
        "a member who is gone",
        "insert into members (chat_id, user_id, read_seq, since) values ({lunch}, {gone}, 7, 1)",
        "members",
    ),
    cannot_be_repaired("a pair without its chat", "delete from direct_chats", "direct chats"),
    cannot_be_repaired("a chat without owner", "update members set role = 'member'", "owners"),
    cannot_be_repaired("a key of no sender", "update messages set key = 'zzz' where id = {first}", "keys"),
    cannot_be_repaired(
        "a text changed past the server",
        "update messages set text = 'tea?' where id = {first}",
        "digests",
        also=("search",),
    ),
)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
async def test_damage_is_named_and_what_can_be_derived_is_repaired(
    past: Past, dsn: str, config, sql: asyncpg.Connection, plant: Plant
) -> None:
    assert await names(dsn) == set()

    await sql.execute(plant.sql.format(**{name: getattr(past, name) for name in Past.__dataclass_fields__}))

    found = await fsck.find_damage(dsn)
    assert {one.kind.name for one in found} >= plant.named
    assert all(sentence for one in found for sentence in one.sentences(10))
    left = await fsck.fix(config, dsn, found)
    assert {one.kind.name for one in left} == plant.stays
    assert all(one.kind.remedy for one in left)


def test_every_kind_is_planted_at_least_once() -> None:
    assert {kind.name for kind in KINDS} == {name for plant in PLANTS for name in plant.named}


async def names(dsn: str) -> set[str]:
    return {one.kind.name for one in await fsck.find_damage(dsn)}


async def test_as_a_command_it_says_what_it_found_what_it_repaired_and_when_all_is_well(
    admin: Admin, past: Past, sql: asyncpg.Connection
) -> None:
    clean = await admin("fsck")
    assert clean.returncode == 0, clean.stderr
    assert clean.stdout.startswith("Clean:")

    await sql.execute("update chats set floor_count = 9 where id = $1", past.group)
    await sql.execute("update messages set key = 'zzz' where id = $1", past.first)
    damaged = await admin("fsck")
    assert damaged.returncode == 1
    assert "floors: 1 damaged\n" in damaged.stdout
    assert f"Chat {past.group} counts 9 members" in damaged.stdout
    told = json.loads((await admin("fsck", "--json")).stdout)
    assert not told["clean"]
    assert {(one["kind"], one["count"], one["repairable"]) for one in told["damage"]} == {
        ("floors", 1, True),
        ("keys", 1, False),
    }

    fixed = await admin("fsck", "--fix")
    assert fixed.returncode == 1
    assert "Repaired: 1." in fixed.stdout
    assert "Not repaired: 1. It cannot be derived" in fixed.stdout
    assert "Damaged: 1 times, of 1 kinds" in fixed.stderr


async def test_more_than_is_kept_is_repaired_without_counting_everything_again_and_again(
    past: Past, dsn: str, config, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fsck, "MOST_ROWS", 2)
    await sql.execute("delete from search_documents")

    really, looks = fsck.find_damage, 0

    async def counted(*asked: Any) -> list[fsck.Damage]:
        nonlocal looks
        looks += 1
        return await really(*asked)

    monkeypatch.setattr(fsck, "find_damage", counted)
    found = await fsck.find_damage(dsn)

    assert found[0].count > 6
    assert await fsck.fix(config, dsn, found) == []
    assert looks == 2, "what there is to repair, and that nothing is left"


async def test_beside_a_working_server_there_is_no_false_alarm(server, dsn: str, sql: asyncpg.Connection) -> None:
    async with Person.registered(server, "alice") as alice, Person.registered(server, "bob") as bob:
        lunch = await alice.opens_chat("lunch", members=[bob])
        enough = asyncio.Event()

        async def chatter(person: Person) -> None:
            while not enough.is_set():
                said = await says(person, lunch, f"word of {person.name}")
                path = f"/v1/chats/{lunch}/messages/{said['message_id']}"
                (await person.asks("PATCH", path, {"text": "another word"})).expecting(200)
                (await person.asks("DELETE", path)).expecting(204)

        async with asyncio.TaskGroup() as group:
            for person in (alice, bob):
                group.create_task(chatter(person))
            found = [await names(dsn) for _ in range(10)]
            enough.set()

        assert found == [set()] * 10


async def test_a_repair_is_seen_at_once_by_those_who_are_there(
    server, alice: Person, bob: Person, dsn: str, config, sql: asyncpg.Connection
) -> None:
    lunch = await alice.opens_chat("lunch", members=[bob])
    said = await says(alice, lunch, "pizza?")
    (await bob.post(f"/v1/chats/{lunch}/read", {"message_id": said["message_id"]})).expecting(200)
    await indexed(sql)
    await sql.execute("update chats set read_seq = 0 where id = $1", int(lunch))

    async with alice.connects() as socket:
        await fsck.fix(config, dsn, await fsck.find_damage(dsn))

        await socket.hears("chat_changed")
    page = (await alice.get(f"/v1/chats/{lunch}/messages?limit=5")).expecting(200).json
    assert page["messages"][-1]["is_read"]
