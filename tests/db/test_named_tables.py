"""Tables and views that others read by their names: they are there, with what they are expected to hold."""

import asyncpg

from tests.actors import Person

EXPECTED = {
    "users": "id, name, email, password_hash",
    "sessions": "id, user_id",
    "chats": "id, name, kind",
    "groups": "chat_id, name, creator_id",
    "members": "chat_id, user_id, role",
    "messages": "id, chat_id, sender_id, text, sent_at",
    "messages_read": "id, chat_id, sender_id, text, sent_at, is_read",
    "read_cursors": "chat_id, user_id, message_id",
}


async def test_what_others_read_by_its_name_is_there(alice: Person, bob: Person, sql: asyncpg.Connection) -> None:
    body = {"name": "lunch", "participant_user_ids": [bob.user_id]}
    group = (await alice.post("/v1/groups", body)).expecting(201).json["group_id"]
    said = (await alice.post(f"/v1/messages/group/{group}", {"text": "pizza?"})).expecting(201).json
    (await bob.post(f"/v1/messages/read/{said['id']}")).expecting(200)

    found = {name: await sql.fetch(f"select {columns} from {name}") for name, columns in EXPECTED.items()}

    assert [dict(row) for row in found["groups"]] == [
        {"chat_id": int(group), "name": "lunch", "creator_id": int(alice.user_id)}
    ]
    assert found["chats"][0]["kind"] == "group"
    assert found["messages_read"][0]["is_read"] is True
    assert {row["message_id"] for row in found["read_cursors"]} == {int(said["id"])}
    assert [len(found[name]) for name in ("users", "sessions", "members", "messages")] == [2, 2, 2, 1]
