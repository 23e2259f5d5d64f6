"""What the others in a chat are told, live and when they come back: the same for everybody, and enough."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from messenger.apps.chats.events import event_renderers
from messenger.log.entries import Entry
from messenger.web.app_keys import LOG
from tests.actors import Person, Server
from tests.apps.chats.conftest import Ear, Event, Read, Say, missed, synced

Listens = Callable[[Person], Awaitable[Ear]]

pytestmark = [pytest.mark.usefixtures("floors_are_true"), pytest.mark.shared]


def kinds(events: list[Event]) -> list[str]:
    return [event["type"] for event in events]


def without(event: Event, *names: str) -> Event:
    return {name: value for name, value in event.items() if name not in names}


async def test_of_a_new_chat_its_people_are_told_in_order(alice: Person, bob: Person, ear: Listens) -> None:
    hers, his = await ear(alice), await ear(bob)

    chat = await alice.opens_chat("lunch", members=[bob])

    told = await hers.events()
    assert kinds(told) == ["member_added", "member_added", "chat_created"]
    assert without(told[0], "cursor") == {
        "type": "member_added",
        "chat_id": chat,
        "user_id": alice.user_id,
        "actor_id": alice.user_id,
        "member": {"user_id": alice.user_id, "user_name": "alice", "role": "owner"},
        "member_count": 2,
    }
    seen = await alice.sees(chat)
    same_for_all = ("chat_id", "kind", "name", "join", "creator_id", "created_at", "member_count", "head_seq")
    assert without(told[2], "cursor") == {
        "type": "chat_created",
        "chat_id": chat,
        "chat": {name: seen[name] for name in same_for_all},
    }
    # He is admitted at the position of his own entry, and hears from there on.
    assert await his.events() == told[1:]


async def test_changes_are_told_to_everybody_in_the_same_bytes(
    alice: Person, bob: Person, carol: Person, ear: Listens
) -> None:
    chat = await alice.opens_chat("lunch", members=[bob, carol])
    ears = [await ear(person) for person in (alice, bob, carol)]
    cursor = (await synced(alice))["cursor"]

    await alice.changes(chat, chat_name="dinner", join="invite")
    await alice.makes(chat, bob, "admin")
    await carol.joins(chat, "The cook")

    frames = [await one.frames() for one in ears]
    assert frames[0] == frames[1] == frames[2]
    assert len(frames[0]) == 3
    told = await missed(alice, cursor)
    assert kinds(told) == ["chat_changed", "member_changed", "member_changed"]
    assert told[0]["chat"]["name"] == "dinner"
    assert [(event["user_id"], event["actor_id"], event["member"]) for event in told[1:]] == [
        (bob.user_id, alice.user_id, {"user_id": bob.user_id, "user_name": "bob", "role": "admin"}),
        (carol.user_id, carol.user_id, {"user_id": carol.user_id, "user_name": "The cook", "role": "member"}),
    ]
    assert [await missed(person, cursor) for person in (bob, carol)] == [told, told]
    forbidden = {"role", "unread", "read_seq", "muted_until", "last_message"}
    assert not forbidden & set(told[0]["chat"])


async def test_a_new_name_of_an_account_is_told_in_every_chat_that_shows_it(
    alice: Person, bob: Person, carol: Person, mallory: Person, say: Say, ear: Listens
) -> None:
    lunch, talk = await alice.opens_chat("lunch", members=[bob]), await alice.talks_to(bob)
    left = await bob.opens_chat("left", members=[alice, carol])
    silent = await bob.opens_chat("never said a word there", members=[alice, carol])
    await say(alice, left, "bye")
    for chat in (left, silent):
        await alice.leaves(chat)
    (await alice.joins(lunch, "The cook")).expecting(201)
    ears = [await ear(person) for person in (alice, bob, carol, mallory)]

    (await alice.asks("PATCH", "/v1/users/me", {"user_name": "alix"})).expecting(200)

    hers, his, carols, stranger = [await one.events() for one in ears]
    told = [(event["type"], event["chat_id"], event["member"]["user_name"], event["member"]["role"]) for event in his]
    assert told == [
        ("member_changed", lunch, "The cook", "owner"),
        ("member_changed", talk, "alix", "member"),
        ("member_changed", left, "alix", None),
    ]
    assert (kinds(hers), hers[:2]) == (["member_changed", "member_changed", "user_changed"], his[:2])
    assert (carols, stranger) == (his[2:], [])
    for chat in (lunch, talk, left):
        assert (await bob.sees(chat))["name"] == {lunch: "lunch", talk: "alix", left: "left"}[chat]


async def test_what_nobody_else_is_shown_is_told_to_my_own_devices_alone(
    alice: Person, bob: Person, ear: Listens
) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    hers, his = await ear(alice), await ear(bob)
    cursor = (await synced(alice))["cursor"]

    await alice.asks("PATCH", "/v1/users/me", {"display_name": "Alice L.", "email": "alice@example.org"})
    await alice.changes(chat, muted_until="2030-01-01T02:00:00.123456+02:00")
    await alice.changes(chat, muted_until=None)

    told = await hers.events()
    assert [without(event, "cursor") for event in told] == [
        {"type": "user_changed", "user": (await alice.get("/v1/users/me")).json},
        {"type": "chat_muted", "chat_id": chat, "muted_until": "2030-01-01T00:00:00.123Z"},
        {"type": "chat_muted", "chat_id": chat, "muted_until": None},
    ]
    assert await his.frames() == []
    assert await missed(alice, cursor) == told
    assert await missed(bob, cursor) == []


async def test_what_changes_nothing_is_not_told(alice: Person, bob: Person, ear: Listens) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    (await alice.changes(chat, muted_until="2030-01-01T00:00:00Z")).expecting(200)
    hers = await ear(alice)

    for change in ({"user_name": "alice"}, {"display_name": ""}, {"about": ""}, {"email": None}):
        (await alice.asks("PATCH", "/v1/users/me", change)).expecting(200)
    (await alice.changes(chat, muted_until="2030-01-01T00:00:00Z")).expecting(200)
    (await alice.changes(chat, chat_name="lunch")).expecting(200)
    (await alice.makes(chat, bob, "member")).expecting(200)
    (await alice.joins(chat, "alice")).expecting(201)

    assert await hers.frames() == []


async def test_of_a_chat_that_i_was_removed_from_not_even_my_own_silence_is_told(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    cursor = (await synced(bob))["cursor"]
    (await bob.changes(chat, muted_until="2030-01-01T00:00:00Z")).expecting(200)

    await alice.removes(chat, bob)

    assert kinds(await missed(bob, cursor)) == ["member_removed"]


async def test_two_processes_show_one_position_in_the_same_bytes_whatever_happens_between(
    start: Callable[..., Awaitable[Server]], alice: Person, bob: Person, carol: Person, mallory: Person, ear: Listens
) -> None:
    there = await start(APPS="auth,chats,messages")
    cursor = (await synced(alice))["cursor"]
    live = await ear(alice)
    lunch = await alice.opens_chat("lunch", members=[bob])
    words = f"/v1/chats/{lunch}/messages"
    await alice.post(words, {"text": "pizza?"})
    await live.frames()  # the rule that is changed now is shown as it is
    steps: list[Callable[[], Awaitable[Any]]] = [
        lambda: alice.changes(lunch, join="invite"),
        lambda: alice.invites(lunch, carol, mallory),
        lambda: bob.post(words, {"text": "soup?"}, server=there),
        lambda: bob.leaves(lunch),
        lambda: carol.post(words, {"text": "soup."}, server=there),
    ]
    seen: dict[int, set[bytes]] = {}
    for step in steps:
        await step()
        frames = await live.frames()
        for server in (alice.server, there):
            frames += await replayed(alice, cursor, server)
        for frame in frames:
            event = json.loads(frame)
            if "chat" in event or "member_count" in event:
                seen.setdefault(int(event["cursor"].partition(".")[2]), set()).add(frame)

    assert [len(frames) for frames in seen.values()] == [1] * 7, seen
    told = [json.loads(frame) for position in sorted(seen) for frame in seen[position]]
    assert [event["chat"]["head_seq"] for event in told if "chat" in event] == [0, 1]
    assert [event.get("chat", event)["member_count"] for event in told] == [2, 2, 2, 2, 4, 4, 3]


async def test_who_is_removed_hears_that_and_nothing_after_it(
    alice: Person, bob: Person, say: Say, ear: Listens
) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    his = await ear(bob)
    cursor = (await synced(bob))["cursor"]
    await alice.changes(chat, chat_name="tea")

    await alice.removes(chat, bob)
    await alice.changes(chat, chat_name="without bob")
    await say(alice, chat, "he is gone")

    told = await his.events()
    assert kinds(told) == ["chat_changed", "member_removed"]
    assert without(told[1], "cursor") == {
        "type": "member_removed",
        "chat_id": chat,
        "user_id": bob.user_id,
        "actor_id": alice.user_id,
        "member": {"user_id": bob.user_id, "user_name": "bob", "role": None},
        "member_count": 1,
    }
    # Coming back later, not even what had happened before is told.
    assert await missed(bob, cursor) == [told[1]]
    assert (await synced(bob))["chats"] == []


async def test_who_was_in_it_for_a_moment_only_is_told_of_the_end_alone(alice: Person, bob: Person) -> None:
    cursor = (await synced(bob))["cursor"]
    chat = await alice.opens_chat("lunch", members=[bob])
    await bob.leaves(chat)

    told = await missed(bob, cursor)

    assert kinds(told) == ["member_removed"]


async def test_of_a_deleted_chat_everybody_who_was_there_hears_later(alice: Person, bob: Person, ear: Listens) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    cursor = (await synced(bob))["cursor"]
    his = await ear(bob)
    await alice.changes(chat, chat_name="tea")

    await alice.deletes(chat)

    told = await missed(bob, cursor)
    assert [without(event, "cursor") for event in told] == [
        {"type": "chat_deleted", "chat_id": chat, "actor_id": alice.user_id}
    ]
    assert (await his.events())[-1] == told[0]


async def test_of_what_is_gone_by_now_only_the_end_is_shown(alice: Person, bob: Person) -> None:
    chat = int(await alice.opens_chat("lunch", members=[bob]))
    await alice.deletes(str(chat))
    root = alice.server.runner.app
    entries = [Entry(1, kind, chat, user_id=int(bob.user_id), actor_id=int(alice.user_id)) for kind in event_renderers]
    silence = {"chat_id": None, "subject_id": chat}
    entries = [replace(entry, **silence) if entry.kind == "chat_muted" else entry for entry in entries]

    shown = {entry.kind: (await event_renderers[entry.kind](root, [entry]))[0] for entry in entries}

    assert shown == {
        "chat_created": None,
        "chat_changed": None,
        "member_added": None,
        "member_changed": None,
        "member_removed": {
            "user_id": bob.user_id,
            "actor_id": alice.user_id,
            "member": {"user_id": bob.user_id, "user_name": "bob", "role": None},
            "member_count": 0,
        },
        "chat_muted": None,
        "chat_deleted": {"actor_id": alice.user_id},
    }


async def test_a_direct_chat_has_no_name_that_both_could_be_told(alice: Person, bob: Person) -> None:
    cursor = (await synced(bob))["cursor"]

    await alice.talks_to(bob)

    created = (await missed(bob, cursor))[-1]
    assert (created["type"], created["chat"]["name"], created["chat"]["kind"]) == ("chat_created", None, "direct")


async def test_when_the_one_who_had_not_read_goes_it_is_told_once_that_all_have(
    alice: Person, bob: Person, carol: Person, say: Say, read: Read
) -> None:
    chat = await alice.opens_chat("lunch", members=[bob, carol])
    await say(alice, chat, "pizza?")
    soup = await say(alice, chat, "or soup?")
    await read(bob, chat, soup)
    cursor = (await synced(alice))["cursor"]

    await carol.leaves(chat)

    position = int(cursor.partition(".")[2])
    reader = alice.server.runner.app[LOG].reader
    entries, _ = await reader.page(int(alice.user_id), position, [], 0)
    assert [(entry.kind, entry.data) for entry in entries] == [
        ("member_removed", {"member_count": 2, "head_seq": 2}),
        ("message_read_by_all", {"from_seq": 1, "to_seq": 2, "message_id": int(soup)}),
    ]
    assert (await alice.sees(chat))["read_by_all_seq"] == 2


async def replayed(person: Person, cursor: str, server: Server) -> list[bytes]:
    """What a replay on this process sends."""
    log = server.runner.app[LOG]
    await log.barrier()
    entries, _ = await log.reader.page(int(person.user_id), int(cursor.partition(".")[2]), [], 0)
    return [entry.event for entry in entries if entry.event]


async def test_what_is_known_and_what_is_told_make_what_will_be_known(
    alice: Person, bob: Person, carol: Person
) -> None:
    """`GET /v1/sync` and the events after it are the next `GET /v1/sync`, whatever happens."""
    lunch = await alice.opens_chat("lunch", members=[bob])
    tea = await bob.opens_chat("tea", members=[alice])
    steps: list[Callable[[], Awaitable[Any]]] = [
        lambda: alice.changes(lunch, chat_name="dinner"),
        lambda: carol.joins(lunch),
        lambda: alice.makes(lunch, bob, "admin"),
        lambda: bob.removes(lunch, carol),
        lambda: alice.removes(lunch, bob),
        lambda: carol.talks_to(bob),
        lambda: bob.opens_chat("board"),
        lambda: alice.invites(lunch, bob),
        lambda: bob.makes(tea, alice, "owner"),
        lambda: alice.makes(tea, bob, "member"),
        lambda: alice.deletes(tea),
        lambda: bob.leaves(lunch),
        lambda: bob.changes(lunch, chat_name="never"),
    ]
    known = {person.name: await synced(person) for person in (alice, bob, carol)}
    for step in steps:
        await step()

        for person in (alice, bob, carol):
            state = known[person.name]
            applied = {chat["chat_id"]: chat for chat in state["chats"]}
            for event in await missed(person, state["cursor"]):
                await apply(person, applied, event)
            known[person.name] = await synced(person)
            assert applied == {chat["chat_id"]: chat for chat in known[person.name]["chats"]}


async def apply(person: Person, chats: dict[str, Any], event: Event) -> None:
    """The rules of a client, in full."""
    chat_id = event["chat_id"]
    if event["type"] == "chat_deleted" or (event["type"], event.get("user_id")) == ("member_removed", person.user_id):
        chats.pop(chat_id, None)
    elif (event["type"], event.get("user_id")) == ("member_added", person.user_id):
        chats[chat_id] = await person.sees(chat_id)
    elif event["type"] in {"chat_created", "chat_changed"}:
        own = {"name": chats[chat_id]["name"]} if event["chat"]["kind"] == "direct" else {}
        chats[chat_id] = {**chats[chat_id], **event["chat"], **own}
    elif event["type"] == "member_changed":
        if event["user_id"] == person.user_id:
            chats[chat_id] = {**chats[chat_id], "role": event["member"]["role"]}
    elif chat_id in chats:
        chats[chat_id] = {**chats[chat_id], "member_count": event["member_count"]}
