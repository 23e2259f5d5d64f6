"""Requests speak the words of the answers: what is shown under a name is changed under it, and under others it has."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.actors import Answer, Person
from tests.contract import CONTRACT

pytestmark = pytest.mark.shared


@dataclass
class Stage:
    """What there is to change: somebody's chat with a guest in it, and a message."""

    owner: Person
    guest: Person
    chat: str
    message: str

    def path(self, template: str) -> str:
        ids = {"{chat_id}": self.chat, "{message_id}": self.message, "{user_id}": self.guest.user_id}
        for name, one in ids.items():
            template = template.replace(name, one)
        return template

    async def changes(self, template: str, what: Any) -> Answer:
        return await self.owner.asks("PATCH", self.path(template), what)


@pytest.fixture
async def stage(alice: Person, bob: Person) -> AsyncIterator[Stage]:
    chat = await alice.opens_chat("lunch", members=[bob])
    message = (await alice.post(f"/v1/chats/{chat}/messages", {"text": "pizza?"})).expecting(201).json["message_id"]
    yield Stage(alice, bob, chat, message)


@dataclass(frozen=True)
class Field:
    """`shown`: its name in the answer; `others`: more names that a request may give it; two values that it can have."""

    shown: str
    first: Any
    second: Any
    others: tuple[str, ...] = ()


CHANGES: dict[str, list[Field]] = {
    "/v1/users/me": [
        Field("user_name", "alicia", "alina", ("login",)),
        Field("email", "alicia@example.org", "alina@example.org"),
        Field("display_name", "Alicia", "Alina"),
        Field("about", "harmless", "mostly harmless"),
    ],
    "/v1/chats/{chat_id}": [
        Field("name", "dinner", "supper", ("chat_name",)),
        Field("join", "invite", "open"),
        Field("muted_until", "2096-11-22T08:00:00.000Z", "2097-11-22T08:00:00.000Z"),
    ],
    "/v1/chats/{chat_id}/members/{user_id}": [Field("role", "admin", "member")],
    "/v1/chats/{chat_id}/messages/{message_id}": [Field("text", "soup", "salad", ("message",))],
}
WORDS = [
    (path, field, word) for path, fields in CHANGES.items() for field in fields for word in (field.shown, *field.others)
]
PAIRS = [(path, field, word) for path, field, word in WORDS if word != field.shown]


def test_every_field_of_every_change_is_in_the_table() -> None:
    described = {}
    for method, path in CONTRACT.operations:
        if method == "PATCH":
            body = CONTRACT.document["paths"][path]["patch"]["requestBody"]["content"]["application/json"]["schema"]
            described[path] = set(CONTRACT.inlined(body)["properties"])

    assert described == {path: {word for one, _, word in WORDS if one == path} for path in CHANGES}


@pytest.mark.parametrize("path", CHANGES)
async def test_a_change_of_nothing_known_is_refused(stage: Stage, path: str) -> None:
    before = (
        (await stage.owner.get(stage.path("/v1/chats/{chat_id}"))).json,
        (await stage.owner.get("/v1/users/me")).json,
    )

    for nothing in ({}, {"colour": "red"}, {"Name": "x"}):
        refused = await stage.changes(path, nothing)

        assert refused.expecting(400).code == "bad-parameters"
    after = (
        (await stage.owner.get(stage.path("/v1/chats/{chat_id}"))).json,
        (await stage.owner.get("/v1/users/me")).json,
    )
    assert after == before


@pytest.mark.parametrize(("path", "field", "word"), WORDS, ids=[f"{path} {word}" for path, _, word in WORDS])
async def test_what_is_shown_is_changed_under_its_names(stage: Stage, path: str, field: Field, word: str) -> None:
    for value in (field.first, field.second):
        changed = await stage.changes(path, {word: value})

        assert changed.expecting(200).json[field.shown] == value


@pytest.mark.parametrize(("path", "field", "word"), PAIRS, ids=[f"{path} {word}" for path, _, word in PAIRS])
async def test_two_names_of_one_thing_must_agree(stage: Stage, path: str, field: Field, word: str) -> None:
    (await stage.changes(path, {field.shown: field.first})).expecting(200)

    differ = await stage.changes(path, {field.shown: field.first, word: field.second})
    agree = await stage.changes(path, {field.shown: field.second, word: field.second})

    assert differ.expecting(400).json["errors"][0]["pointer"] in {f"/{word}", f"/{field.shown}"}
    assert agree.expecting(200).json[field.shown] == field.second


@pytest.mark.parametrize(("path", "field", "word"), WORDS, ids=[f"{path} {word}" for path, _, word in WORDS])
async def test_what_is_wrong_is_named_as_it_was_said(stage: Stage, path: str, field: Field, word: str) -> None:
    refused = await stage.changes(path, {word: 7})

    assert refused.expecting(400).json["errors"][0]["pointer"] == f"/{word}"


# --- what is not changed but made, or said


@dataclass(frozen=True)
class Made:
    """A request that gives a thing its name: `words` for one and the same."""

    method: str
    path: str
    words: tuple[str, ...]
    value: Callable[[Stage], Any]
    rest: Callable[[Stage], dict[str, Any]] = lambda stage: {}


def secret(stage: Stage) -> dict[str, Any]:
    return {"password": "secret"}


MADE = [
    Made("POST", "/v1/chats", ("name", "chat_name"), lambda stage: "tea"),
    Made("POST", "/v1/groups", ("name", "chat_name"), lambda stage: "tea", lambda stage: {"participant_user_ids": []}),
    Made("POST", "/v1/chats/{chat_id}/messages", ("text", "message"), lambda stage: "tea?"),
    Made("POST", "/v1/messages/user/{user_id}", ("text", "message"), lambda stage: "tea?"),
    Made("POST", "/v1/chats/{chat_id}/read", ("message_id", "id"), lambda stage: stage.message),
    Made(
        "POST", "/v1/auth/register", ("user_name", "login"), lambda stage: "carol", lambda stage: {"password": "secret"}
    ),
]


@pytest.mark.parametrize("made", MADE, ids=lambda made: made.path)
async def test_what_is_made_or_said_goes_by_each_of_its_names(stage: Stage, made: Made) -> None:
    path, value, rest = stage.path(made.path), made.value(stage), made.rest(stage)
    one, other = made.words

    differ = await stage.owner.asks(made.method, path, {**rest, one: value, other: "something else"})
    neither = await stage.owner.asks(made.method, path, rest)

    assert differ.expecting(400).code == neither.expecting(400).code == "bad-parameters"
    for said in ({one: value}, {other: value}, {one: value, other: value}):
        done = await stage.owner.asks(made.method, path, {**rest, **said})
        if made.path == "/v1/auth/register":
            assert done.status == (201 if said == {one: value} else 409), done
        else:
            assert done.status in {200, 201}, done
            assert value in json.dumps(done.json)
