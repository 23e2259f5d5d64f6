"""One day in a chat brings every frame there is, so the contract's list is that of the running server."""

from uuid import uuid4

import asyncpg

from tests.actors import Person
from tests.apps.classic.older import all_chats, group, one_chat
from tests.frames import FRAMES

MISSED = 5_001  # in one chat: more than a replay brings
SAY = """
    select last from log_append(array_fill($1::bigint, array[$3::int]), array_fill($2::bigint, array[$3::int]),
        array_fill(null::bigint, array[$3::int]), array(select 'i:' || n from generate_series(1, $3::int) n),
        array_fill(null::smallint, array[$3::int]), array_fill('…'::text, array[$3::int]),
        array_fill(null::bigint, array[$3::int]), '{}', '{}', '{}', '{}', interval '5 minutes')
"""


async def test_a_day_in_a_chat_brings_every_frame(
    alice: Person, bob: Person, mallory: Person, sql: asyncpg.Connection
) -> None:
    await talk_by_older_clients(alice, mallory)
    async with alice.connects() as hers, bob.connects() as his:
        chat = await alice.opens_chat("lunch", [bob])
        for kind in ("member_added", "chat_created"):
            await his.hears(kind)

        said = await hers.asks("new_message", chat_id=chat, text="pizza?", client_id="k")
        again = await hers.asked("new_message", chat_id=int(chat), text="pizza?", client_id="k")
        assert (again["replayed"], again["result"]["message_id"]) == (True, said["message_id"])
        place = {"chat_id": chat, "message_id": int(said["message_id"])}
        await his.asks("read_message", chat_id=chat, id=said["message_id"])
        await his.asks("react", **place, emoji="🍕")
        await his.asks("unreact", **place, emoji="🍕")
        await hers.asks("edit_message", **place, text="pizza!")
        assert await hers.asks("delete_message", **place) == {"chat_id": chat, "message_id": said["message_id"]}
        for kind in ("message_read", "message_read_by_all", "reaction", "reaction"):
            await hers.hears(kind)
        for kind in ("new_message", "message_edited", "message_deleted"):
            await his.hears(kind)

        await hers.asks("typing", chat_id=chat)
        await hers.asks("presence", status="away")
        for kind in ("typing", "presence"):
            await his.hears(kind)
        await his.says('{"type": "ping"}')
        await his.says('{"type": "rumour"}')
        for kind in ("pong", "error"):
            await his.hears(kind)
        await his.asks("ping")

        (await alice.changes(chat, chat_name="late lunch")).expecting(200)
        (await alice.invites(chat, mallory)).expecting(201)
        (await alice.removes(chat, mallory)).expecting(204)
        for kind in ("chat_changed", "member_added", "member_removed"):
            await his.hears(kind)
        (await bob.changes(chat, muted_until="2030-01-01T00:00:00Z")).expecting(200)
        (await bob.asks("PATCH", "/v1/users/me", {"user_name": "robert"})).expecting(200)
        for kind in ("chat_muted", "member_changed", "user_changed"):
            await his.hears(kind)
        bob.name = "robert"
        (await bob.post("/v1/chats/search", {"message": "pizza"})).expecting(201)
        for kind in ("search_progress", "search_finished"):
            await his.hears(kind)

        before = his.cursor
        await sql.fetchval(SAY, int(chat), int(alice.user_id), MISSED)
        async with bob.on_another_device() as phone, phone.connects(cursor=before) as later:
            limited = await later.hears("limited")
            assert (limited["from_seq"], limited["to_seq"]) == (2, MISSED + 1)
            await later.hears("resumed")
            await later.asks("resume", cursor=later.ready["cursor"])
            await later.asks("resume", cursor="elsewhere.1")
            await later.hears("resync")
            (await alice.deletes(chat)).expecting(204)
            await later.hears("chat_deleted")
            await bob.signs_out()
            assert await his.closes() == 4502
            await later.hears("session_revoked")

    assert FRAMES.never_seen() == []


async def talk_by_older_clients(alice: Person, mallory: Person) -> None:
    chat, name = await group(alice, mallory), str(uuid4())
    async with all_chats(alice) as hers, one_chat(alice, chat) as room, one_chat(mallory, chat) as other:
        await room.asks(action="send_message", message_id=name, text="pizza?")
        await other.hears()
        await other.asks(action="message_read", message_id=name)
        for socket in (room, room, hers, hers):  # said, and read
            await socket.hears()
        await hers.asks(type="new_message", chat_id=chat, text="soup?")
        await hers.asks(type="read_message", chat_id=chat, id=(await hers.hears())["id"])
        await hers.says(type="rumour")
        await hers.refusal()
