"""Sending over REST: what a text may be, keys that make a repeat safe, and speaking without sign-in."""

import asyncio
import unicodedata

import pytest

from tests.actors import Person
from tests.apps.talk import says

pytestmark = pytest.mark.shared


async def test_texts_come_back_as_they_were_said(alice, bob):
    lunch = await alice.opens_chat("lunch", [bob])
    name = "Zoë \N{ANGSTROM SIGN}"
    texts = [
        unicodedata.normalize("NFC", name),
        unicodedata.normalize("NFD", name),
        name,
        "\N{SLICE OF PIZZA}" * 4096,
        "\ufeffbom \uffff \U0010ffff",
        "  spaces stay  \n\t",
        "<script>alert(1)</script> {{7*7}} \"';-- \\",
        "\u202eright to left \u05d0\u05d1\u200b",
        "0",
    ]
    sent = [(await alice.post(f"/v1/chats/{lunch}/messages", {"message": text})).expecting(201) for text in texts]

    assert [answer.json["text"] for answer in sent] == texts
    page = (await bob.get(f"/v1/chats/{lunch}/messages?limit=100")).json["messages"]
    assert [message["text"] for message in page] == texts
    assert [message["seq"] for message in page] == list(range(1, len(texts) + 1))
    assert sent[5].headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.alone
async def test_what_cannot_be_said_is_refused_and_not_stored(alice, sql):
    lunch = await alice.opens_chat("lunch")
    path = f"/v1/chats/{lunch}/messages"
    first = await says(alice, lunch, "first")
    invisible = ["", " ", "\n\t", "\u200b\u200d\ufeff", "\u00a0\u2003", "\u202a\u202c"]
    for text in (*invisible, "x" * 4097, "\N{SLICE OF PIZZA}" * 4097, 7, True, None, ["x"], {"a": "b"}):
        for method, where in (("POST", path), ("PATCH", f"{path}/{first['message_id']}")):
            answer = await alice.asks(method, where, {"text": text})
            assert (answer.status, answer.code) == (400, "bad-parameters"), (method, text)
    for raw in (rb'{"text": "nul \u0000"}', rb'{"text": "\ud800"}', b'{"text": "\xff"}', b'{"text": "a", "text": "b"}'):
        assert (await alice.post(path, data=raw)).code == "bad-parameters", raw
    wrong = [
        {},
        {"message": "a", "text": "b"},
        {"text": "a", "client_id": "k", "operation_id": 1},
        {"text": "a", "client_id": ""},
        {"text": "a", "client_id": "k" * 65},
        {"text": "a", "client_id": 7},
        {"text": "a", "operation_id": 32768},
        {"text": "a", "operation_id": "1"},
        {"text": "a", "operation_id": True},
        {"text": "a", "operation_id": 1.5},
        {"text": "a", "reply_to": "x"},
        {"text": "a", "reply_to": 0},
    ]
    for body in wrong:
        assert (await alice.post(path, body)).code == "bad-parameters", body
    assert (await alice.post(path, {"text": "a", "reply_to": 999999})).code == "message-not-found"
    header = {"Idempotency-Key": "h"}
    assert (await alice.post(path, {"text": "a", "client_id": "b"}, headers=header)).code == "bad-parameters"
    assert (await alice.post(path, {"text": "a", "client_id": ["b"]}, headers=header)).code == "bad-parameters"
    assert (await alice.post(path, {"text": "a", "operation_id": 1}, headers=header)).code == "bad-parameters"
    assert (await alice.post(path, {"text": "a"}, headers={"Idempotency-Key": "k" * 65})).code == "bad-parameters"
    assert await sql.fetchval("select count(*) from messages") == 1
    assert (await says(alice, lunch, "second"))["seq"] == 2


async def test_a_reply_is_to_a_message_of_the_same_chat(alice, bob):
    lunch, other = await alice.opens_chat("lunch", [bob]), await alice.opens_chat("other", [bob])
    here, there = await says(alice, lunch, "hi"), await says(alice, other, "ho")

    assert (await says(bob, lunch, "yes", reply_to=here["message_id"]))["reply_to"] == here["message_id"]
    answer = await bob.post(f"/v1/chats/{lunch}/messages", {"text": "yes", "reply_to": there["message_id"]})
    assert (answer.status, answer.code) == (404, "message-not-found")


async def test_a_key_is_its_senders_within_one_chat_and_holds_for_the_messages_life(alice, bob, start):
    lunch, other = await alice.opens_chat("lunch", [bob]), await alice.opens_chat("other", [bob])
    sent = await says(alice, lunch, "hi", client_id="key")
    for person, chat in ((bob, lunch), (alice, other)):
        assert (await says(person, chat, "hi", client_id="key"))["message_id"] != sent["message_id"]
    anew = await start()
    again = await alice.post(f"/v1/chats/{lunch}/messages", {"text": "hi", "client_id": "key"}, server=anew)
    assert again.expecting(200).json == {**sent, "is_read": True}  # as it is now: he has written since
    assert again.headers["Idempotency-Replayed"] == "true"
    other_reply = {"text": "hi", "client_id": "key", "reply_to": sent["message_id"]}
    assert (await alice.post(f"/v1/chats/{lunch}/messages", other_reply)).code == "idempotency-conflict"
    (await alice.asks("DELETE", f"/v1/chats/{lunch}/messages/{sent['message_id']}")).expecting(204)
    gone = await alice.post(f"/v1/chats/{lunch}/messages", {"text": "hi", "client_id": "key"})
    assert gone.expecting(200).json["deleted"] is True
    (await alice.removes(lunch, bob)).expecting(204)
    assert (await bob.post(f"/v1/chats/{lunch}/messages", {"text": "hi", "client_id": "key"})).code == "chat-not-found"


async def test_an_operation_is_remembered_for_its_window(alice, sql):
    lunch = await alice.opens_chat("lunch")
    path = f"/v1/chats/{lunch}/messages"
    first = await says(alice, lunch, "hi", operation_id=-32768)
    assert (await alice.post(path, {"text": "hi", "operation_id": -32768})).expecting(200).json == first
    assert (await alice.post(path, {"text": "ho", "operation_id": -32768})).code == "idempotency-conflict"
    await sql.execute("update messages set sent_at = sent_at - interval '299 seconds'")
    assert (await alice.post(path, {"text": "ho", "operation_id": -32768})).code == "idempotency-conflict"
    await sql.execute("update messages set sent_at = sent_at - interval '2 seconds'")
    assert (await says(alice, lunch, "ho", operation_id=-32768))["seq"] == 2


async def test_whom_a_message_is_for_may_be_a_person_or_a_group(alice, bob, mallory):
    answers = await asyncio.gather(
        *(alice.post(f"/v1/messages/user/{bob.user_id}", {"text": f"{number}"}) for number in range(5)),
        *(bob.post(f"/v1/messages/user/{alice.user_id}", {"text": f"{number}"}) for number in range(5)),
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["chat_id"] for answer in answers}) == 1
    assert sorted(answer.json["seq"] for answer in answers) == list(range(1, 11))
    notes = (await alice.post(f"/v1/messages/user/{alice.user_id}", {"text": "to myself"})).expecting(201).json
    assert notes["seq"] == 1
    body = {"name": "team", "participant_user_ids": [bob.user_id]}
    group = (await alice.post("/v1/groups", body)).expecting(201).json
    said = (await bob.post(f"/v1/messages/group/{group['group_id']}", {"text": "hi", "operation_id": 1})).expecting(201)
    assert said.json["chat_id"] == group["chat_id"]
    for path, code in (
        ("/v1/messages/user/999999", "user-not-found"),
        ("/v1/messages/user/0", "user-not-found"),
        ("/v1/messages/group/999999", "group-not-found"),
        (f"/v1/messages/group/{notes['chat_id']}", "group-not-found"),
    ):
        answer = await alice.post(path, {"text": "hi"})
        assert (answer.status, answer.code) == (404, code), path
    assert (await mallory.post(f"/v1/messages/group/{group['group_id']}", {"text": "hi"})).code == "group-not-found"


def claims(person: Person) -> dict:
    """What a client may like to say of its message, and is not asked."""
    return {
        "id": "7",
        "message_id": "7",
        "seq": 100,
        "sender_id": person.user_id,
        "sender_name": person.name,
        "user_id": person.user_id,
        "actor_id": person.user_id,
        "session_id": "1",
        "sent_at": "1999-01-01T00:00:00.000Z",
        "edited_at": "1999-01-01T00:00:00.000Z",
        "at": "1999-01-01T00:00:00.000Z",
        "deleted": True,
        "is_read": True,
        "reactions": [{"emoji": "!", "user_ids": [person.user_id]}],
        "key": "c:k",
        "cursor": "x.1",
        "role": "owner",
        "is_admin": True,
    }


def named(message: dict) -> dict:
    """Under both words that it is shown with."""
    return {"message_id": message["message_id"], "id": message["message_id"]}


@pytest.mark.alone
async def test_what_a_client_claims_of_its_message_is_ignored_and_never_obeyed(alice, bob, sql):
    lunch = await alice.opens_chat("lunch", [bob])
    first = await says(bob, lunch, "first")
    false = claims(bob)
    started = await sql.fetchval("select date_trunc('milliseconds', clock_timestamp())")

    async with alice.connects() as hers:
        sent = [
            (await alice.post(f"/v1/chats/{lunch}/messages", {**false, "text": "by rest"})).expecting(201).json,
            await hers.asks("new_message", **{**false, "chat_id": lunch, "text": "by socket"}),
        ]
        (await alice.post(f"/v1/chats/{lunch}/read", {**false, **named(first)})).expecting(200)
        await hers.asks("read_message", **{**false, "chat_id": lunch, "id": sent[1]["message_id"]})

    rows = await sql.fetch("select seq, sender_id, sent_at, edited_at, deleted_at, key from messages where seq > 1")
    assert [(row["seq"], row["sender_id"]) for row in rows] == [(2, int(alice.user_id)), (3, int(alice.user_id))]
    assert all(row["sent_at"] >= started and row["edited_at"] is None and row["deleted_at"] is None for row in rows)
    assert all(not row["key"].startswith("c:") for row in rows), "no key of the client's choice"
    for one in sent:
        assert (one["sender_id"], one["sender_name"], one["is_read"]) == (alice.user_id, "alice", False)
        assert (one["deleted"], one["reactions"], one["edited_at"]) == (False, [], None)
    # Her own marker moved and nobody else's, whatever `user_id` said.
    assert ((await alice.sees(lunch))["read_seq"], (await bob.sees(lunch))["read_seq"]) == (3, 1)
    path = f"/v1/chats/{lunch}/messages/{sent[0]['message_id']}"
    edited = (await alice.asks("PATCH", path, {**false, "text": "by rest, again"})).expecting(200).json
    assert (edited["seq"], edited["sender_id"], edited["deleted"]) == (2, alice.user_id, False)
    assert edited["sent_at"] == sent[0]["sent_at"] and edited["edited_at"] > sent[0]["sent_at"]


async def test_user_id_may_only_repeat_who_i_am(alice, bob):
    lunch = await alice.opens_chat("lunch", [bob])
    path = f"/v1/chats/{lunch}/messages"
    (await alice.post(f"{path}?user_id={alice.user_id}", {"text": "hi"})).expecting(201)
    for other in (bob.user_id, "999999", "x", "0", ""):
        answer = await alice.post(f"{path}?user_id={other}", {"text": "hi"})
        assert (answer.status, answer.code) == (404, "user-not-found"), other
    assert (await alice.post(f"{path}?user_id=1&user_id=2", {"text": "hi"})).code == "bad-parameters"


@pytest.fixture
async def rig(start) -> Person:
    server = await start(AUTH_DISABLED="true")
    async with Person.stranger(server) as somebody:
        yield somebody


async def test_without_sign_in_the_request_names_who_speaks(rig):
    lunch = (await rig.post("/v1/chats", {"chat_name": "lunch"})).expecting(201).json["chat_id"]
    one, two = [
        (await rig.post(f"/v1/chats/{lunch}/users", {"user_name": "guest"})).expecting(201).json["user_id"]
        for _ in range(2)
    ]
    path = f"/v1/chats/{lunch}/messages"
    said = (await rig.post(f"{path}?user_id={one}", {"message": "hi", "client_id": "k"})).expecting(201).json
    assert (said["sender_id"], said["sender_name"], said["seq"]) == (one, "guest", 1)
    assert (await rig.post(f"{path}?user_id={two}", {"message": "hi", "client_id": "k"})).status == 201
    assert (await rig.post(f"{path}?user_id={one}", {"message": "hi", "client_id": "k"})).status == 200
    for query in ("", "?user_id=999999", "?user_id=x", "?user_id="):
        answer = await rig.post(path + query, {"message": "hi"})
        assert (answer.status, answer.code) == (404, "user-not-found"), query
    assert (await rig.post("/v1/chats/999999/messages?user_id=1", {"message": "hi"})).code == "chat-not-found"
    page = (await rig.get(f"{path}?limit=10")).expecting(200).json
    assert [message["sender_id"] for message in page["messages"]] == [one, two]
    assert (await rig.get(f"/v1/history/{lunch}")).expecting(200).json[0]["text"] == "hi"
    for closed in ("/v1/events", "/v1/ws", "/v1/sync"):
        assert (await rig.get(closed)).code == "auth-failed", closed


@pytest.mark.alone
async def test_a_send_does_not_ask_how_far_the_log_is_and_is_refused_where_its_session_has_ended(alice, sql, start):
    """Its transaction looks at the session itself, whatever this process has heard of it."""
    lunch = await alice.opens_chat("lunch")
    path = f"/v1/chats/{lunch}/messages"
    await says(alice, lunch, "0")
    await alice.get("/v1/sync")
    looks = await sql.fetch(LOOKS)
    for number in range(5):
        await says(alice, lunch, f"{number}")
    assert looks and await sql.fetch(LOOKS) == looks

    elsewhere = await start()
    (await alice.post("/v1/auth/logout", server=elsewhere)).expecting(200)
    at_once = await alice.post(path, {"text": "at once"})
    await says_again(alice, lunch)
    await sql.execute("update sessions set ended_at = now()")  # and no entry tells of it
    unheard = await alice.post(path, {"text": "unheard"})
    unread = await alice.post(f"/v1/chats/{lunch}/read", {"message_id": 1})

    assert [(answer.status, answer.code) for answer in (at_once, unheard, unread)] == [(401, "session-revoked")] * 3
    assert await sql.fetchval("select count(*) from messages where text in ('at once', 'unheard')") == 0


async def says_again(person: Person, chat: str) -> None:
    """Signed in anew, and known for it."""
    await person.signs_in()
    await says(person, chat, "again")


LOOKS = """
    select pid, query_start from pg_stat_activity
     where datname = current_database() and query like 'select position, epoch from log_head%' order by pid
"""
