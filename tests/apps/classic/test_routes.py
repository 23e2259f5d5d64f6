"""The routes of older clients: what they answer to each person, and that they are the deeds of /v1 in other words."""

import asyncio
from typing import Any

import asyncpg
import pytest

from messenger.db.connection import ConnectionSet
from tests.actors import PASSWORD, Person
from tests.apps.classic.older import group
from tests.apps.talk import fill, says

pytestmark = pytest.mark.shared


async def bearer(person: Person, **body: str) -> dict[str, str]:
    answer = (await person.post("/users/login", body)).expecting(200)
    assert answer.headers["Cache-Control"] == "no-store"
    return {"Authorization": f"Bearer {answer.json['access_token']}"}


async def test_an_account_is_an_address_and_a_password_and_opens_everything(nobody: Person) -> None:
    made = await nobody.post("/users/register", {"email": "test1@test.com", "password": "test"})
    again = await nobody.post("/users/register", {"email": "Test1@test.com", "password": "other"})
    named = await nobody.post("/users/register", {"email": "a@b.de", "password": "test", "username": "ann"})

    assert made.expecting(201).json == {
        "id": made.json["id"],
        "email": "test1@test.com",
        "username": "test1@test.com",
    }
    assert again.expecting(409).code == "user-already-exists"
    assert named.expecting(201).json["username"] == "ann"
    nobody.headers = await bearer(nobody, email="test1@test.com", password="test")
    assert (await nobody.get("/v1/users/me")).expecting(200).json["user_id"] == str(made.json["id"])
    assert (await bearer(nobody, email="A@b.de", password="test"))["Authorization"]


async def test_whatever_is_wrong_with_a_sign_in_is_one_answer(nobody: Person) -> None:
    await nobody.post("/users/register", {"email": "test1@test.com", "password": "test"})

    for body in ({"email": "test1@test.com", "password": "no"}, {"email": "who@test.com", "password": "test"}):
        assert (await nobody.post("/users/login", body)).expecting(401).code == "bad-password"
    for body in ({"email": "test1@test.com"}, {"email": 1, "password": "test"}, {"password": "test"}):
        assert (await nobody.post("/users/login", body)).expecting(400).code == "bad-parameters"
    for body in ({"email": "no address", "password": "test"}, {"email": "x@y.de", "password": "1"}):
        assert (await nobody.post("/users/register", body)).expecting(400).json["message"]


async def test_another_sites_page_signs_nobody_in_or_up(nobody: Person) -> None:
    body = {"email": "test1@test.com", "password": "test"}
    for path in ("/users/register", "/users/login"):
        answer = await nobody.post(path, body, headers={"Origin": "https://elsewhere.example"})

        assert answer.expecting(403).code == "csrf-failed"


async def test_two_devices_with_different_client_ids_are_signed_in_side_by_side(nobody: Person) -> None:
    who = {"email": "test1@test.com", "password": "test"}
    await nobody.post("/users/register", who)

    laptop = await bearer(nobody, **who, client_id="laptop")
    phone = await bearer(nobody, **who, client_id="phone")
    for headers in (laptop, phone):
        (await nobody.get("/v1/users/me", headers=headers)).expecting(200)

    replaced = await bearer(nobody, **who, client_id="phone")
    (await nobody.get("/v1/users/me", headers=laptop)).expecting(200)
    (await nobody.get("/v1/users/me", headers=replaced)).expecting(200)
    assert (await nobody.get("/v1/users/me", headers=phone)).expecting(401).code == "session-revoked"


async def test_the_token_url_of_the_authorize_button_takes_an_address_for_a_user_name(nobody: Person) -> None:
    await nobody.post("/users/register", {"email": "test1@test.com", "password": "test"})

    form = {"grant_type": "password", "username": "test1@test.com", "password": "test"}
    signed_in = (await nobody.asks("POST", "/login", data=form)).expecting(200).json

    assert isinstance(signed_in["user_id"], int)
    headers = {"Authorization": f"Bearer {signed_in['access_token']}"}
    (await nobody.post("/group", {"name": "lunch", "participant_user_ids": []}, headers=headers)).expecting(201)


async def test_a_message_to_a_person_has_six_fields_and_makes_the_chat(alice: Person, bob: Person) -> None:
    sent = await alice.post(f"/messages/user/{bob.user_id}", {"text": "pizza?", "operation_id": 17})

    message = sent.expecting(200).json
    chat = message["chat_id"]
    assert message == {
        "id": message["id"],
        "chat_id": chat,
        "sender_id": int(alice.user_id),
        "text": "pizza?",
        "timestamp": message["timestamp"],
        "is_read": False,
    }
    assert str(chat) == await bob.talks_to(alice)
    page = (await bob.get(f"/v1/chats/{chat}/messages?limit=1")).json["messages"]
    assert (page[0]["id"], page[0]["sent_at"]) == (str(message["id"]), message["timestamp"])
    answered = (await bob.post(f"/messages/user/{alice.user_id}", {"text": "yes"})).expecting(200).json
    assert (answered["chat_id"], answered["is_read"]) == (chat, False)
    assert (await alice.get(f"/history/{chat}")).json[0]["is_read"] is True


async def test_a_group_has_its_author_and_takes_messages_of_those_in_it(
    alice: Person, bob: Person, mallory: Person
) -> None:
    body = {"name": "lunch", "participant_user_ids": [int(bob.user_id), int(bob.user_id), int(alice.user_id)]}

    made = (await alice.post("/group", body)).expecting(201).json

    assert made["participant_user_ids"] == [int(alice.user_id), int(bob.user_id)]
    assert made["creator_id"] == int(alice.user_id)
    path = f"/messages/group/{made['group_id']}"
    sent = (await bob.post(path, {"text": "pizza?", "operation_id": -32768})).expecting(200).json
    assert sent["chat_id"] == made["chat_id"]
    assert (await mallory.post(path, {"text": "me too"})).expecting(403).code == "forbidden"
    assert (await alice.get(f"/history/{made['chat_id']}")).json == [sent]


@pytest.mark.alone
async def test_a_group_of_too_many_or_of_nobody_there_is_refused_and_not_made(
    alice: Person, sql: asyncpg.Connection
) -> None:
    many = {"name": "lunch", "participant_user_ids": list(range(1, 102))}
    unknown = {"name": "lunch", "participant_user_ids": [999999]}

    assert (await alice.post("/group", many)).expecting(400).code == "bad-parameters"
    assert (await alice.post("/group", unknown)).expecting(404).code == "user-not-found"
    (await alice.post("/group", {"name": "lunch"})).expecting(400)
    (await alice.post("/group", {"name": "lunch", "participant_user_ids": [0]})).expecting(400)
    assert await sql.fetchval("select count(*) from chats") == 0


async def test_nobody_there_is_404_and_bad_words_are_400(alice: Person, bob: Person) -> None:
    for path in ("/messages/user/999999", "/messages/user/0", "/messages/group/0"):
        assert (await alice.post(path, {"text": "hello"})).status == 404
    path = f"/messages/user/{bob.user_id}"
    for body in (
        {},
        {"text": ""},
        {"text": " "},
        {"text": "x" * 4097},
        {"text": 1},
        {"text": "x", "operation_id": 2**15},
        {"text": "x", "operation_id": "17"},
    ):
        assert (await alice.post(path, body)).expecting(400).json["message"]
    lunch = await alice.opens_chat("lunch")  # no group
    assert (await alice.post(f"/messages/group/{lunch}", {"text": "hello"})).status == 403


@pytest.mark.alone
async def test_an_operation_repeated_is_one_message_and_one_answer_and_free_again_later(
    start, alice: Person, bob: Person, sql: asyncpg.Connection
) -> None:
    elsewhere = await start(OPERATION_ID_WINDOW="2")
    path, body = f"/messages/user/{bob.user_id}", {"text": "pizza?", "operation_id": 17}

    answers = await asyncio.gather(
        *(alice.post(path, body, server=server) for server in (alice.server, elsewhere) for _ in range(10))
    )

    first = answers[0].expecting(200).json
    assert [answer.expecting(200).json for answer in answers] == [first] * 20
    assert await sql.fetchval("select count(*) from messages") == 1
    conflict = await alice.post(path, {**body, "text": "soup?"})
    assert conflict.expecting(409).code == "idempotency-conflict"
    async with asyncio.timeout(30):
        while (later := (await alice.post(path, body, server=elsewhere)).expecting(200).json)["id"] == first["id"]:
            await asyncio.sleep(0.1)
    assert await sql.fetchval("select count(*) from messages") == 2
    assert later["text"] == "pizza?"


async def test_history_is_ascending_and_paged_by_offset_and_by_message(
    alice: Person, bob: Person, mallory: Person
) -> None:
    lunch = await group(alice, bob)
    for number in range(7):
        await says((alice, bob)[number % 2], str(lunch), f"{number}")

    def words(answer) -> list[str]:
        return [one["text"] for one in answer.expecting(200).json]

    whole = await bob.get(f"/history/{lunch}")
    assert words(whole) == [f"{number}" for number in range(7)]
    assert [one["timestamp"] for one in whole.json] == sorted(one["timestamp"] for one in whole.json)
    assert words(await bob.get(f"/history/{lunch}?limit=2&offset=3")) == ["3", "4"]
    third = whole.json[2]["id"]
    assert words(await bob.get(f"/history/{lunch}?later_that_message_id={third}&limit=2")) == ["3", "4"]
    assert words(await bob.get(f"/history/{lunch}?offset=100")) == []
    assert (await bob.get(f"/history/{lunch}", headers={"If-None-Match": whole.headers["ETag"]})).status == 304
    for query in ("limit=0", "limit=101", "limit=x", "offset=-1", "later_that_message_id=x"):
        assert (await bob.get(f"/history/{lunch}?{query}")).expecting(400).json["message"]
    assert (await mallory.get(f"/history/{lunch}")).expecting(403).json["message"] == "You are not in this chat."
    assert (await mallory.get("/history/0")).expecting(404).code == "chat-not-found"


async def test_history_goes_on_after_a_message_and_reads_nothing_before_it(
    alice: Person, bob: Person, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    lunch = await group(alice, bob)
    await fill(sql, str(lunch), alice, 250)
    read: list[int] = []
    really = ConnectionSet.rows

    async def counted(lines: ConnectionSet, *asked: Any) -> Any:
        rows = await really(lines, *asked)
        read.append(sum("text" in row.keys() for row in rows))  # noqa: SIM118  (a record looks among its values)
        return rows

    monkeypatch.setattr(ConnectionSet, "rows", counted)
    seen: list[dict[str, Any]] = []
    for size in (100, 100, 50, 0):
        read.clear()
        later = f"&later_that_message_id={seen[-1]['id']}" if seen else ""
        page = (await bob.get(f"/history/{lunch}?limit=100{later}")).expecting(200).json
        assert (len(page), sum(read)) == (size, size), "what the database gave is what is shown"
        seen += page

    stored = await sql.fetch("select id from messages where chat_id = $1 order by seq", int(lunch))
    assert [str(one["id"]) for one in seen] == [str(row["id"]) for row in stored]
    read.clear()
    last = (await bob.get(f"/history/{lunch}?limit=2&offset=48&later_that_message_id={seen[199]['id']}")).json
    assert (last, sum(read)) == (seen[248:], 2)
    (await bob.get(f"/history/{lunch}?later_that_message_id=999999")).expecting(404)


async def test_a_page_tells_how_far_everybody_has_read(alice: Person, bob: Person, mallory: Person) -> None:
    lunch = await group(alice, bob)
    one = await says(alice, str(lunch), "one")
    two = await says(alice, str(lunch), "two")

    path = f"/chats/{lunch}/messages"
    before = (await alice.get(path)).expecting(200).json
    (await bob.post(f"/messages/read/{one['id']}")).expecting(200)
    after = (await alice.get(f"{path}?limit=1&offset=1")).expecting(200).json

    assert [list(message) for message in before["messages"]] == [["id", "user_id", "text", "dt_created"]] * 2
    assert before["read_cursors"] == [
        {"user_id": int(alice.user_id), "message_id": int(two["id"])},
        {"user_id": int(bob.user_id), "message_id": None},
    ]
    assert [message["text"] for message in after["messages"]] == ["two"]
    assert after["read_cursors"][1] == {"user_id": int(bob.user_id), "message_id": int(one["id"])}
    assert (await mallory.get(path)).expecting(404).code == "chat-not-found"


async def test_a_message_is_read_as_often_as_one_likes_and_by_those_who_may(
    alice: Person, bob: Person, mallory: Person
) -> None:
    lunch = await group(alice, bob)
    message = (await alice.post(f"/messages/group/{lunch}", {"text": "pizza?"})).expecting(200).json

    for _ in range(2):
        assert (await bob.post(f"/messages/read/{message['id']}")).expecting(200).json == {}

    assert (await alice.get(f"/history/{lunch}")).json[0]["is_read"] is True
    assert (await mallory.post(f"/messages/read/{message['id']}")).expecting(404).code == "message-not-found"
    assert (await bob.post("/messages/read/999999")).expecting(404).code == "message-not-found"


@pytest.mark.parametrize("settings", [{"APPS": "auth,chats,messages,classic"}])
async def test_older_clients_need_nothing_but_accounts_chats_and_messages(nobody: Person) -> None:
    body = {"email": "test1@test.com", "password": PASSWORD}
    (await nobody.post("/users/register", body)).expecting(201)
    nobody.headers = await bearer(nobody, **body)

    chat = await group(nobody)

    assert (await nobody.get(f"/history/{chat}")).expecting(200).json == []
