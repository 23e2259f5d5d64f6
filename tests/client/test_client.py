"""What a program can do with a client, and what it is told."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from messenger import errors
from messenger.apps.auth import service
from messenger.apps.auth.context import AUTH
from messenger.client import (
    Client,
    MemberAdded,
    MessageDeleted,
    MessageEdited,
    MessageRead,
    NewMessage,
    ReactionChanged,
    Resync,
    Typing,
    UnknownEvent,
    Unreachable,
)
from messenger.client.events import KINDS, Limited, read_event
from messenger.client.inbox import Place
from messenger.client.problems import refusal
from messenger.identity import Caller, UserId
from proof.lab.processes import free_port
from proof.lab.waiting import happens
from tests.actors import PASSWORD, Person, Server
from tests.apps.talk import fill, says
from tests.client.conftest import client_of, has_socket
from tests.frames import FRAMES

pytestmark = pytest.mark.shared


async def heard(events, kind):
    """The next one of this kind."""
    async with asyncio.timeout(10):
        while not isinstance(event := await anext(events), kind):
            pass
    return event


async def test_one_registers_signs_in_and_out(server: Server) -> None:
    async with Client(server.url) as client:
        made = await client.register("robot", PASSWORD, email="robot@example.org")
        me = await client.login("robot@example.org", PASSWORD, device_name="a shelf")
        async with Client(f"{server.url}/", session_id=client.session_id) as other:
            state = await other.sync()
        await client.logout()

        assert (me.user_id, me.user_name) == (made.user_id, "robot")
        assert (state.user.email, state.chats) == ("robot@example.org", ())
        with pytest.raises(errors.AuthFailed):
            await client.chats()


async def test_a_link_signs_in_too(server: Server, alice: Person) -> None:
    token = await service.make_link(server.runner.app[AUTH], UserId(int(alice.user_id)), 60.0, Caller("here", ""))
    async with Client(server.url) as client:
        assert (await client.link(f"{server.url}/#link={token}")).user_id == alice.user_id

        with pytest.raises(errors.TokenInvalid):
            await client.link(token)


async def test_what_happens_in_a_chat_is_told_to_both_in_one_order(alice: Person, bob: Person) -> None:
    async with client_of(alice) as one, client_of(bob) as other:
        hers, his = one.events(), other.events()
        await one.sync()
        await other.sync()
        chat = await alice.opens_chat("lunch", members=[bob])
        first = await one.send(chat, "pizza?")
        answer = await other.send(chat, "soup", reply_to=first.message_id)
        await other.read(chat, first.message_id)
        edited = await one.edit(chat, first.message_id, "pizza!")
        await other.react(chat, first.message_id, "🍕")
        await other.unreact(chat, first.message_id, "🍕")
        await one.delete(chat, first.message_id)

        for events in (hers, his):
            assert (await heard(events, MemberAdded)).chat_id == chat
            told = [(await heard(events, NewMessage)).message for _ in range(2)]
            assert [(message.sender_id, message.reply_to) for message in told] == [
                (alice.user_id, None),
                (bob.user_id, first.message_id),
            ]
            assert (await heard(events, MessageEdited)).actor_id == alice.user_id
            assert [(await heard(events, ReactionChanged)).action for _ in range(2)] == ["added", "removed"]
            assert (await heard(events, MessageDeleted)).message.deleted
        assert (edited.text, edited.client_id) == ("pizza!", first.client_id)
        assert abs(answer.sent_at - datetime.now(UTC)) < timedelta(hours=1)
        assert [message.text for message in await one.history(chat)] == ["", "soup"]
        assert [one.text for one in await other.history(chat, before=answer.message_id, limit=5)] == [""]
        assert [one.text for one in await other.history(chat, after=first.message_id)] == ["soup"]
        (found,) = await other.chats()
        assert (found.name, found.last_message.text, found.unread) == ("lunch", "soup", 0)


async def test_all_pages_of_chats_are_read(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("messenger.client.client.CHATS", 2)
    made = [await alice.opens_chat(f"chat {number}") for number in range(5)]

    async with client_of(alice) as client:
        assert {chat.chat_id for chat in await client.chats()} == set(made)


async def test_a_marker_and_typing_are_heard(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    said = await says(alice, chat, "pizza?")
    async with client_of(alice) as one, client_of(bob) as other:
        hers, his = one.events(), other.events()
        await one.sync()
        await other.typing(chat)  # nobody follows yet: dropped
        await other.sync()
        other._typed_at.clear()
        await other.read(chat, said["message_id"])
        listening = asyncio.create_task(heard(his, NewMessage))

        assert (await heard(hers, MessageRead)).reads[0].user_id == bob.user_id
        typing = asyncio.create_task(heard(hers, Typing))
        async with asyncio.timeout(10):
            while not typing.done():  # his socket opens meanwhile
                await other.typing(chat)
                other._typed_at.clear()
                await asyncio.sleep(0.02)
        assert (await typing).user_id == bob.user_id
        await one.send(chat, "yes")
        await listening


async def test_typing_is_told_once_in_three_seconds(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []

    async def say(self: object, frame: dict[str, str]) -> None:
        said.append(frame["chat_id"])

    monkeypatch.setattr("messenger.client.line.Line.say", say)
    async with client_of(alice) as client:
        for chat in "1112":
            await client.typing(chat)

    assert said == ["1", "2"]


async def test_who_is_cancelled_while_waiting_misses_nothing(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    async with client_of(bob) as client:
        events, found = client.events(), []
        await client.sync()
        words = [f"word {number}" for number in range(30)]
        talk = asyncio.create_task(talks(alice, chat, words))
        async with asyncio.timeout(20):
            while len(found) < len(words):
                waiting = asyncio.ensure_future(anext(events))
                await asyncio.wait([waiting], timeout=0.001)
                if waiting.cancel():
                    await asyncio.wait([waiting])
                if not waiting.cancelled():
                    found.append(waiting.result().message.text)
        await talk

    assert found == words


async def talks(person: Person, chat: str, words: list[str]) -> None:
    for word in words:
        await says(person, chat, word)


async def test_an_event_that_was_not_dealt_with_is_told_again(alice: Person, bob: Person, tmp_path: Path) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    file = tmp_path / "bob.cursor"
    async with client_of(bob, cursor_file=str(file)) as client:
        await client.sync()
        for word in ("one", "two", "three"):
            await says(alice, chat, word)
        async with asyncio.timeout(20):
            async for event in client.events():
                assert isinstance(event, NewMessage)
                if event.message.text == "two":
                    break
            again = await anext(client.events())

    async with client_of(bob, cursor_file=str(file)) as client, asyncio.timeout(20):
        events = client.events()
        told = [(await anext(events)).message.text for _ in range(2)]

    assert again == event
    assert told == ["two", "three"]
    assert [path.name for path in tmp_path.iterdir()] == ["bob.cursor"]


async def test_without_a_place_one_hears_what_happens_from_now_on(alice: Person, tmp_path: Path) -> None:
    chat = await alice.opens_chat("notes")
    await says(alice, chat, "long ago")
    async with client_of(alice, cursor_file=str(tmp_path / "cursor")) as client:
        waiting = asyncio.ensure_future(anext(client.events()))
        async with asyncio.timeout(10):
            while not (tmp_path / "cursor").exists():
                await asyncio.sleep(0.01)
        await client.send(chat, "now")

        assert (await waiting).message.text == "now"


async def test_a_message_is_sent_although_its_caller_was_cancelled(alice: Person) -> None:
    chat = await alice.opens_chat("notes")
    async with client_of(alice) as client:
        for number in range(5):
            sending = asyncio.create_task(client.send(chat, f"cancelled {number}"))
            await asyncio.sleep(0)
            sending.cancel()
        await client.send(chat, "last")

        texts = [message.text for message in await client.history(chat)]
    assert texts == [*(f"cancelled {number}" for number in range(5)), "last"]


async def test_a_key_makes_a_repeat_the_same_message(alice: Person) -> None:
    chat = await alice.opens_chat("notes")
    async with client_of(alice) as client:
        first = await client.send(chat, "pizza?", client_id="once")

        assert await client.send(chat, "pizza?", client_id="once") == first
        with pytest.raises(errors.IdempotencyConflict):
            await client.send(chat, "soup?", client_id="once")
        assert (await client.send(chat, "soup?")).seq == 2


async def test_a_refusal_is_the_exception_of_its_code(server: Server, alice: Person, mallory: Person) -> None:
    chat = await alice.opens_chat("secrets")
    async with client_of(mallory) as client:
        for refused, kind in [
            (client.send(chat, "hello"), errors.ChatNotFound),
            (client.send("../../users/me", "hello"), errors.ChatNotFound),
            (client.history(chat), errors.ChatNotFound),
            (client.call("GET", "v1/users/0"), errors.UserNotFound),
            (client.call("GET", "nothing"), errors.NotFound),
            (client.register("mallory", PASSWORD), errors.UserAlreadyExists),
            (client.login("mallory", "wrong"), errors.BadPassword),
        ]:
            with pytest.raises(kind):
                await refused
        with pytest.raises(errors.BadParameters) as told:
            await client.register("x", PASSWORD)
    assert told.value.flaws[0].pointer == "/user_name"
    assert (told.value.status, told.value.code) == (400, "bad-parameters")


def test_every_code_has_its_class_and_what_is_unknown_one_of_its_own() -> None:
    for kind in errors.catalogue():
        body = b'{"code": "%b", "detail": "So it is."}' % kind.code.encode()
        assert type(refusal(kind.status, body)) is kind

    of_proxy = refusal(502, b"<html>", "7")
    newer = refusal(409, b'{"code": "chat-archived", "title": "This chat is archived", "status": 409}')

    assert (of_proxy.code, of_proxy.status, of_proxy.retry_after) == ("http-502", 502, 7.0)
    assert (newer.code, newer.status, newer.detail) == ("chat-archived", 409, "This chat is archived.")
    assert type(newer) not in errors.catalogue()


async def test_nobody_there_is_told_as_such_and_what_is_no_server_too(server: Server) -> None:
    async with Client(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(Unreachable):
            await client.login("alice", PASSWORD)
    async with Client(server.url) as client:
        with pytest.raises(Unreachable, match="not the server's answer"):
            await client.call("GET", "docs")
    for url in ("chat.example.org", "ftp://chat.example.org", ""):
        with pytest.raises(ValueError, match="is not the address of a server"):
            async with Client(url):
                pass


async def test_the_end_of_the_session_ends_the_events(alice: Person, bob: Person, sql: asyncpg.Connection) -> None:
    async with client_of(alice) as ended, client_of(bob) as expired:
        events = ended.events()
        await ended.sync()
        waiting = asyncio.ensure_future(to_the_end(events))
        await alice.signs_out()

        with pytest.raises(errors.SessionRevoked):
            await waiting
        with pytest.raises(errors.SessionRevoked):
            await anext(ended.events())
        await sql.execute("update sessions set expires_at = now() where user_id = $1", int(bob.user_id))
        with pytest.raises(errors.SessionExpired):
            await to_the_end(expired.events())
    async with Client(alice.server.url) as nobody:
        with pytest.raises(errors.AuthFailed):
            await anext(nobody.events())


async def test_who_signs_in_as_another_hears_what_is_the_others(server: Server, alice: Person, bob: Person) -> None:
    of_bob = await bob.opens_chat("notes")
    async with client_of(alice) as client:
        await client.sync()
        hearing = asyncio.create_task(heard(client.events(), NewMessage))
        await happens(partial(has_socket, client), "a socket is open")
        await client.login("bob", PASSWORD)
        await client.send(of_bob, "to myself")

        assert (await hearing).chat_id == of_bob


async def to_the_end(events):
    async with asyncio.timeout(20):
        async for _ in events:
            pass


async def test_a_place_of_another_log_is_told_and_one_that_is_none_refused(alice: Person, tmp_path: Path) -> None:
    file = tmp_path / "cursor"
    file.write_text("elsewhere.7")
    chat = await alice.opens_chat("notes")
    async with client_of(alice, cursor_file=str(file)) as client:
        events = client.events()
        assert isinstance(await anext(events), Resync)
        await client.send(chat, "after it")
        assert (await heard(events, NewMessage)).message.text == "after it"

    file.write_text("no cursor")
    async with client_of(alice, cursor_file=str(file)) as client:
        with pytest.raises(errors.BadCursor):
            await anext(client.events())
    file.write_text("")
    with pytest.raises(ValueError, match="remove it to begin from now on"):
        async with client_of(alice, cursor_file=str(file)):
            pass


async def test_more_than_can_be_told_is_limited(alice: Person, bob: Person, sql: asyncpg.Connection) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    async with client_of(bob) as client:
        await client.sync()
        await fill(sql, chat, alice, 5001)
        events = client.events()

        limited = await heard(events, Limited)

        assert (limited.chat_id, limited.from_seq, limited.to_seq) == (chat, 1, 5001)
        await says(alice, chat, "now")
        assert (await heard(events, NewMessage)).message.text == "now"


def test_a_place_is_behind_what_was_heard_in_each_log_and_anew_after_a_resync() -> None:
    def said(cursor: str, log: int = 0) -> UnknownEvent:
        return UnknownEvent(fields={}, cursor=cursor, log=log)

    place = Place("a.10")
    for event, has_passed in [
        (said("a.9"), True),
        (said("a.11"), False),
        (said("a.11"), True),
        (said("c.3", 1), False),
        (said("c.3", 1), True),
        (Limited(chat_id="1", from_seq=1, to_seq=2, cursor="a.2"), False),
        (Typing(chat_id="1", user_id="2"), False),
        (Resync(reason="why", cursor="b.5"), False),
        (said("b.6"), False),
    ]:
        assert place.has_passed(event) is has_passed, event
        if not has_passed:
            place.move(event)
    assert str(place) == "b.6,c.3"


class TestLimits:
    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"THROTTLE_SEND": "burst=3,rate=3/s"}

    async def test_who_is_too_fast_waits_as_told_and_loses_neither_words_nor_their_order(self, alice: Person) -> None:
        chat = await alice.opens_chat("notes")
        async with client_of(alice) as client:
            sent = await asyncio.gather(*(client.send(chat, f"word {number}") for number in range(6)))

        assert [(message.seq, message.text) for message in sent] == [(n + 1, f"word {n}") for n in range(6)]


def test_every_event_of_the_contract_is_read_and_others_are_kept_as_they_are() -> None:
    examples = [
        example["payload"]
        for channel in ("socket", "stream")
        for message in FRAMES.document["channels"][channel]["messages"].values()
        for example in FRAMES.document["components"]["messages"][message["$ref"].rpartition("/")[2]].get("examples", ())
        if "cursor" in example["payload"] and example["payload"]["type"] not in {"ready", "resumed", "resume"}
    ]

    read = [read_event(example) for example in examples]

    assert {example["type"] for example in examples} == set(KINDS) - {"typing", "presence"}
    assert not [event for event in read if isinstance(event, UnknownEvent)]
    assert read_event({"type": "weather", "cursor": "a.7", "log": 1, "rain": True}) == UnknownEvent(
        fields={"type": "weather", "cursor": "a.7", "log": 1, "rain": True}, cursor="a.7", log=1
    )
