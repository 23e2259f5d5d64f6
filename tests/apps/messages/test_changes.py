"""Editing, deleting and reacting: whose right it is, and what becomes of the message."""

import asyncio

import pytest

from tests.actors import Person
from tests.apps.talk import says

pytestmark = pytest.mark.shared


@pytest.fixture
async def carol(server):
    async with Person.registered(server, "carol") as person:
        yield person


async def test_who_may_change_what(alice, bob, carol, mallory):
    """Alice owns the chat, Bob is an admin, Carol a member; each has said something."""
    lunch = await alice.opens_chat("lunch", [bob, carol])
    (await alice.makes(lunch, bob, "admin")).expecting(200)
    may_delete = {
        "alice": {"alice", "bob", "carol"},
        "bob": {"alice", "bob", "carol"},
        "carol": {"carol"},
        "mallory": set(),
    }
    for actor in (alice, bob, carol, mallory):
        for author in (alice, bob, carol):
            path = f"/v1/chats/{lunch}/messages/{(await says(author, lunch, 'words'))['message_id']}"
            stranger = actor is mallory
            edit = await actor.asks("PATCH", path, {"text": f"by {actor.name}"})
            assert edit.status == (404 if stranger else 200 if actor is author else 403), (actor.name, author.name)
            react = await actor.asks("PUT", f"{path}/reactions/!")
            assert react.status == (404 if stranger else 204)
            delete = await actor.asks("DELETE", path)
            allowed = author.name in may_delete[actor.name]
            assert delete.status == (404 if stranger else 204 if allowed else 403), (actor.name, author.name)
    direct = await alice.talks_to(bob)
    his = await says(bob, direct, "words")
    for method, body in (("DELETE", None), ("PATCH", {"text": "mine"})):
        assert (await alice.asks(method, f"/v1/chats/{direct}/messages/{his['message_id']}", body)).status == 403


async def test_a_tombstone_keeps_its_place_and_nothing_else(alice, bob, sql):
    lunch = await alice.opens_chat("lunch", [bob])
    secret = await says(alice, lunch, "secret words", client_id="k")
    await says(bob, lunch, "what?", reply_to=secret["message_id"])
    path = f"/v1/chats/{lunch}/messages/{secret['message_id']}"
    (await bob.asks("PUT", f"{path}/reactions/!")).expecting(204)
    (await alice.asks("DELETE", path)).expecting(204)

    for method, where, body in (
        ("PATCH", path, {"text": "again"}),
        ("DELETE", path, None),
        ("PUT", f"{path}/reactions/!", None),
        ("DELETE", f"{path}/reactions/!", None),
    ):
        answer = await alice.asks(method, where, body)
        assert (answer.status, answer.code) == (404, "message-not-found"), (method, where)
    page = (await bob.get(f"/v1/chats/{lunch}/messages?limit=5")).json["messages"]
    assert [(m["seq"], m["text"], m["deleted"], m["reactions"]) for m in page] == [
        (1, "", True, []),
        (2, "what?", False, []),
    ]
    assert page[1]["reply_to"] == secret["message_id"]
    assert await sql.fetchval("select count(*) from messages where text like '%secret%'") == 0
    sight = await bob.sees(lunch)
    assert (sight["head_seq"], sight["unread"]) == (2, 0)


async def test_an_edit_says_when_and_keeps_everything_else(alice, bob):
    lunch = await alice.opens_chat("lunch", [bob])
    sent = await says(alice, lunch, "one", client_id="k")
    path = f"/v1/chats/{lunch}/messages/{sent['message_id']}"
    edited = (await alice.asks("PATCH", path, {"message": "two"})).expecting(200).json

    assert edited["edited_at"] >= sent["sent_at"]
    assert {**edited, "text": "one", "edited_at": None} == sent
    page = (await bob.get(f"/v1/chats/{lunch}/messages?limit=5")).json["messages"]
    assert page[0]["text"] == "two"
    for wrong in (f"/v1/chats/{lunch}/messages/999999", f"/v1/chats/{lunch}/messages/x"):
        assert (await alice.asks("PATCH", wrong, {"text": "x"})).code == "message-not-found"
    other = await alice.opens_chat("other")
    elsewhere = f"/v1/chats/{other}/messages/{sent['message_id']}"
    for method, body in (("PATCH", {"text": "x"}), ("DELETE", None)):
        assert (await alice.asks(method, elsewhere, body)).code == "message-not-found"


async def test_a_reaction_is_mine_once_and_told_only_when_something_changed(alice, bob):
    lunch = await alice.opens_chat("lunch", [bob])
    path = f"/v1/chats/{lunch}/messages/{(await says(alice, lunch, 'hi'))['message_id']}/reactions/"
    heart = "%E2%9D%A4%EF%B8%8F"
    async with alice.connects() as hers:
        for person in (bob, bob, alice, bob):
            (await person.asks("PUT", path + heart)).expecting(204)
        await asyncio.gather(*(bob.asks("PUT", path + "!") for _ in range(5)))
        for _ in range(2):
            (await alice.asks("DELETE", path + heart)).expecting(204)
        (await alice.asks("DELETE", path + "!")).expecting(204)  # not mine: nothing happens
        page = (await bob.get(f"/v1/chats/{lunch}/messages?limit=5")).json["messages"]
        assert page[0]["reactions"] == [
            {"emoji": "!", "user_ids": [bob.user_id]},
            {"emoji": "\u2764\ufe0f", "user_ids": [bob.user_id]},
        ]
        await says(bob, lunch, "end")
        await hers.hears("new_message")
        told = [(one["user_id"], one["emoji"], one["action"]) for one in hers.heard if one["type"] == "reaction"]
        assert told == [
            (bob.user_id, "\u2764\ufe0f", "added"),
            (alice.user_id, "\u2764\ufe0f", "added"),
            (bob.user_id, "!", "added"),
            (alice.user_id, "\u2764\ufe0f", "removed"),
        ]
    for bad in ("x" * 33, "%00", "a%00"):
        assert (await bob.asks("PUT", path + bad)).code == "bad-parameters", bad
    answers = [await bob.asks("PUT", f"{path}{number}") for number in range(60)]
    assert {answer.status for answer in answers} == {204, 400}
    page = (await bob.get(f"/v1/chats/{lunch}/messages?limit=1")).json["messages"]
    assert len(page[0]["reactions"]) == 50
