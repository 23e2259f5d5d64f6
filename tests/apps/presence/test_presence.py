"""Who is typing, who is here: told in passing to the others in a chat, kept nowhere."""

import pytest

from tests.apps.talk import says
from tests.sockets import Refused

pytestmark = pytest.mark.shared


async def test_typing_is_heard_by_the_others_here_and_elsewhere_and_kept_nowhere(alice, bob, mallory, start, sql):
    elsewhere = await start()
    lunch = await alice.opens_chat("lunch", [bob])
    before = await sql.fetchval("select max(position) from log_head")
    async with (
        alice.connects() as hers,
        alice.connects() as beside,
        bob.connects() as his,
        bob.connects(elsewhere) as far,
        bob.streams() as stream,
        mallory.connects(elsewhere) as stranger,
    ):
        assert await hers.asks("typing", chat_id=lunch) == {"chat_id": lunch}
        typing = {"type": "typing", "chat_id": lunch, "user_id": alice.user_id}
        assert await his.hears() == await far.hears() == typing
        assert await hers.asks("presence", status="away") == {"status": "away"}
        away = {"type": "presence", "chat_id": lunch, "user_id": alice.user_id, "status": "away"}
        assert await his.hears() == await far.hears() == away
        for chat in (lunch, "999999"):
            with pytest.raises(Refused) as refused:
                await stranger.asks("typing", chat_id=chat)
            assert refused.value.code == "chat-not-found"

        await says(alice, lunch, "the end")
        for listener in (hers, beside, stream):
            assert (await listener.hears())["type"] == "new_message"
            assert len(listener.heard) == 1, "one's own devices and streams hear nothing in passing"
        assert stranger.heard == []
    assert await sql.fetchval("select max(position) from log_head") == before + 1


async def test_a_removed_member_neither_types_nor_hears_typing(alice, bob, start):
    elsewhere = await start()
    lunch = await alice.opens_chat("lunch", [bob])
    async with alice.connects() as hers, bob.connects(elsewhere) as his:
        (await alice.removes(lunch, bob)).expecting(204)
        await his.hears("member_removed")
        await hers.asks("typing", chat_id=lunch)
        await hers.asks("presence", status="online")
        with pytest.raises(Refused):
            await his.asks("typing", chat_id=lunch)
        await his.asks("presence", status="online")

        (await alice.invites(lunch, bob)).expecting(201)
        await his.hears("member_added")
        await hers.asks("typing", chat_id=lunch)
        assert (await his.hears("typing"))["user_id"] == alice.user_id
        assert [event["type"] for event in his.heard if "cursor" not in event] == ["typing"]
        assert [event["type"] for event in hers.heard if "cursor" not in event] == []


async def test_who_has_just_come_in_may_type_at_once(alice, bob):
    async with bob.connects() as his:
        for number in range(10):
            lunch = await alice.opens_chat(f"lunch {number}", [bob])
            assert await his.asks("typing", chat_id=lunch) == {"chat_id": lunch}
