"""Every operation of swagger.yml and every verb of asyncapi.yml, for everybody there could be.

What is new in a contract has no row here, and that fails. What somebody may not see is answered, word for word, as what
does not exist.
"""

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from messenger.apps.client.assets import STATIC, Assets
from tests.actors import PASSWORD, Answer, Person, Server
from tests.contract import CONTRACT
from tests.frames import FRAMES
from tests.sockets import Refused, Socket

Operation = tuple[str, str]
PERSONS = ("nobody", "stranger", "removed", "member", "admin", "owner")
STRANGERS = ("stranger", "removed")  # to the chat
Six = tuple[int, int, int, int, int, int]
PUBLIC = 0  # for everybody the same, signed in or not
OF_NOTHING = "999999"  # an id that nothing has

READERS: Six = (401, 404, 404, 200, 200, 200)
WRITERS: Six = (401, 404, 404, 201, 201, 201)
MARKERS: Six = (401, 404, 404, 204, 204, 204)
FOR_ONESELF: Six = (401, 200, 200, 200, 200, 200)
MAKERS: Six = (401, 201, 201, 201, 201, 201)


@dataclass(frozen=True)
class Row:
    """What each of the six is answered, and what is asked beyond the path."""

    statuses: Six
    body: Any = None
    query: str = ""
    on_another_device: bool = False  # else nothing could be asked any more


def open_to_all(status: int, body: Any = None) -> Row:
    return Row((status,) * 6, body)


# In a chat of Alice's (owner), with Bob (admin), Carol and Erin (members); Dave was removed from it, Mallory never in
# it. `{message_id}` is Erin's; `{user_id}` is Erin, `{session_id}` and `{task_id}` hers.
ROWS: dict[Operation, Row] = {
    ("GET", "/ping"): open_to_all(200),
    ("GET", "/ping_db"): open_to_all(200),
    ("GET", "/healthz"): open_to_all(200),
    ("GET", "/readyz"): open_to_all(200),
    ("GET", "/metrics"): open_to_all(200),
    ("GET", "/"): open_to_all(200),
    ("GET", "/client.json"): open_to_all(200),
    ("GET", "/messenger.js"): open_to_all(200),
    ("GET", "/sw.js"): open_to_all(200),
    ("GET", "/manifest.webmanifest"): open_to_all(200),
    ("GET", "/static/{version}/{path}"): open_to_all(200),
    ("GET", "/docs"): open_to_all(200),
    ("GET", "/docs/apps"): open_to_all(200),
    ("GET", "/docs/errors"): open_to_all(200),
    ("GET", "/docs/static/{name}"): open_to_all(200),
    ("GET", "/swagger.yml"): open_to_all(200),
    ("GET", "/asyncapi.yml"): open_to_all(200),
    ("POST", "/login"): open_to_all(200, {"email": "erin", "password": PASSWORD}),
    ("POST", "/v1/auth/login"): open_to_all(200, {"login": "erin", "password": PASSWORD}),
    ("POST", "/v1/auth/link"): open_to_all(401, {"token": "nobody's" + "0" * 35}),
    ("POST", "/v1/auth/register"): open_to_all(201, lambda stage: {"login": stage.new_name(), "password": PASSWORD}),
    ("POST", "/v1/auth/refresh"): open_to_all(401, {"refresh_token": "nobody's" + "0" * 35}),
    ("POST", "/v1/auth/logout"): Row(FOR_ONESELF, on_another_device=True),
    ("POST", "/v1/auth/password"): Row(
        (401, 403, 403, 403, 403, 403), {"current_password": "a guess", "new_password": "mine now"}
    ),
    ("GET", "/v1/auth/sessions"): Row(FOR_ONESELF),
    ("DELETE", "/v1/auth/sessions"): Row((401, 204, 204, 204, 204, 204)),
    ("DELETE", "/v1/auth/sessions/{session_id}"): Row((401, 404, 404, 404, 404, 404)),
    ("POST", "/v1/auth/ws-ticket"): Row(FOR_ONESELF),
    ("GET", "/v1/users"): Row(FOR_ONESELF),
    ("GET", "/v1/users/me"): Row(FOR_ONESELF),
    ("PATCH", "/v1/users/me"): Row(FOR_ONESELF, {"about": "tea"}),
    ("GET", "/v1/users/{user_id}"): Row(FOR_ONESELF),
    ("POST", "/v1/users/{user_id}/chat"): Row(MAKERS),
    ("GET", "/v1/sync"): Row(FOR_ONESELF),
    ("GET", "/v1/ws"): Row((401, 400, 400, 400, 400, 400)),  # no upgrade was asked for; VERBS go on from here
    ("GET", "/v1/events"): Row(FOR_ONESELF),
    ("POST", "/v1/chats"): Row(MAKERS, {"chat_name": "tea"}),
    ("GET", "/v1/chats"): Row(FOR_ONESELF),
    ("GET", "/v1/chats/{chat_id}"): Row(READERS),
    ("PATCH", "/v1/chats/{chat_id}"): Row((401, 404, 404, 403, 200, 200), {"chat_name": "tea"}),
    ("DELETE", "/v1/chats/{chat_id}"): Row((401, 404, 404, 403, 403, 204)),
    ("POST", "/v1/chats/{chat_id}/users"): Row(WRITERS, {"user_name": "somebody"}),
    ("GET", "/v1/chats/{chat_id}/members"): Row(READERS),
    ("POST", "/v1/chats/{chat_id}/members"): Row(
        (401, 404, 404, 403, 201, 201), lambda stage: {"user_ids": [stage.frank.user_id]}
    ),
    ("PATCH", "/v1/chats/{chat_id}/members/{user_id}"): Row((401, 404, 404, 403, 403, 200), {"role": "admin"}),
    ("DELETE", "/v1/chats/{chat_id}/members/{user_id}"): Row((401, 404, 404, 403, 204, 204)),
    ("POST", "/v1/groups"): Row(MAKERS, lambda stage: {"name": "tea", "participant_user_ids": [stage.erin.user_id]}),
    ("GET", "/v1/groups/{group_id}"): Row(READERS),
    ("POST", "/v1/chats/{chat_id}/messages"): Row(WRITERS, {"message": "pizza?"}),
    ("GET", "/v1/chats/{chat_id}/messages"): Row(READERS, query="?limit=10"),
    ("PATCH", "/v1/chats/{chat_id}/messages/{message_id}"): Row((401, 404, 404, 403, 403, 403), {"text": "soup"}),
    ("DELETE", "/v1/chats/{chat_id}/messages/{message_id}"): Row((401, 404, 404, 403, 204, 204)),
    ("PUT", "/v1/chats/{chat_id}/messages/{message_id}/reactions/{emoji}"): Row(MARKERS),
    ("DELETE", "/v1/chats/{chat_id}/messages/{message_id}/reactions/{emoji}"): Row(MARKERS),
    ("POST", "/v1/chats/{chat_id}/read"): Row(READERS, lambda stage: {"message_id": stage.message}),
    ("GET", "/v1/history/{chat_id}"): Row(READERS),
    ("POST", "/v1/chats/search"): Row(MAKERS, {"message": "pizza"}),
    ("GET", "/v1/chats/search/status/{task_id}"): Row((401, 404, 404, 404, 404, 404)),  # Erin's
    ("GET", "/v1/chats/search/{task_id}/messages"): Row((401, 404, 404, 404, 404, 404), query="?limit=10"),
    ("GET", "/v1/search"): Row(FOR_ONESELF, query="?q=pizza"),
    ("POST", "/v1/messages/user/{user_id}"): Row(MAKERS, {"text": "hello"}),
    ("POST", "/v1/messages/group/{group_id}"): Row(WRITERS, {"text": "hello"}),
    ("POST", "/v1/messages/read/{message_id}"): Row(READERS),
    ("POST", "/users/register"): open_to_all(
        201, lambda stage: {"email": f"{stage.new_name().replace(' ', '')}@test.com", "password": PASSWORD}
    ),
    ("POST", "/users/login"): open_to_all(200, {"email": "erin", "password": PASSWORD}),
    ("GET", "/chats/{chat_id}/messages"): Row(READERS),
    ("GET", "/chats/ws"): Row((401, 400, 400, 400, 400, 400)),
    ("GET", "/ws/{chat_id}"): Row((401, 400, 400, 400, 400, 400)),
    ("POST", "/group"): Row(MAKERS, lambda stage: {"name": "tea", "participant_user_ids": [stage.erin.user_id]}),
    ("POST", "/messages/user/{user_id}"): Row(FOR_ONESELF, {"text": "hello"}),
    # Older clients wait for 403 where they are not in a chat; it is the same where there is none.
    ("POST", "/messages/group/{group_id}"): Row((401, 403, 403, 200, 200, 200), {"text": "hello"}),
    ("POST", "/messages/read/{message_id}"): Row(READERS),
    ("GET", "/history/{chat_id}"): Row((401, 403, 403, 200, 200, 200)),
    ("DELETE", "/v1/users/me"): Row((401, 204, 204, 204, 204, 204)),  # the last thing anybody does
}

# Of a verb: the code of the refusal, or that it is granted. Nobody opens no socket.
GRANTED = "ack"
UNSEEN = "chat-not-found"
Verdicts = tuple[str, str, str, str, str, str]
TO_MEMBERS: Verdicts = ("auth-failed", UNSEEN, UNSEEN, GRANTED, GRANTED, GRANTED)
TO_ALL: Verdicts = ("auth-failed", GRANTED, GRANTED, GRANTED, GRANTED, GRANTED)
VERBS: dict[str, Verdicts] = {
    "new_message": TO_MEMBERS,
    "read_message": TO_MEMBERS,
    "edit_message": ("auth-failed", UNSEEN, UNSEEN, "forbidden", "forbidden", "forbidden"),
    "delete_message": ("auth-failed", UNSEEN, UNSEEN, "forbidden", GRANTED, GRANTED),
    "react": TO_MEMBERS,
    "unreact": TO_MEMBERS,
    "typing": TO_MEMBERS,
    "presence": TO_ALL,
    "resume": TO_ALL,
    "ping": TO_ALL,
}


@dataclass
class Stage:
    """The six, those who are talked about, and a chat in which nothing has been done to anybody yet."""

    people: dict[str, Person]
    erin: Person
    frank: Person  # in no chat at all
    erins_session: str
    task: str  # a search of Erin's
    sockets: dict[str, Socket] = field(default_factory=dict)
    chat: str = ""
    message: str = ""
    is_worn: bool = True
    names: int = 0

    async def prepares(self) -> None:
        alice, bob, carol, dave = (self.people[who] for who in ("owner", "admin", "member", "removed"))
        body = {"name": "lunch", "participant_user_ids": [one.user_id for one in (bob, carol, dave, self.erin)]}
        self.chat = (await alice.post("/v1/groups", body)).expecting(201).json["chat_id"]
        words = f"/v1/chats/{self.chat}/messages"
        (await dave.post(words, {"text": "I was here"})).expecting(201)
        self.message = (await self.erin.post(words, {"text": "pizza?"})).expecting(201).json["message_id"]
        (await alice.makes(self.chat, bob, "admin")).expecting(200)
        (await alice.removes(self.chat, dave)).expecting(204)
        self.is_worn = False

    def new_name(self) -> str:
        self.names += 1
        return f"newcomer {self.names}"

    async def asks(self, who: Person, operation: Operation, row: Row, **ids: str) -> Answer:
        method, path = operation
        given = {
            "chat_id": self.chat,
            "group_id": self.chat,
            "message_id": self.message,
            "user_id": self.erin.user_id,
            "session_id": self.erins_session,
            "task_id": self.task,
            "emoji": "!",
            "name": "docs.js",
            "version": Assets.read(STATIC).version,
            "path": "app.js",
            **ids,
        }
        body = row.body(self) if callable(row.body) else row.body
        asked = re.sub(r"\{(\w+)\}", lambda name: given[name[1]], path) + row.query
        if row.on_another_device and who.credentials:
            async with who.on_another_device() as device:
                return await device.asks(method, asked, body)
        return await who.asks(method, asked, body)

    def frame(self, verb: str, chat: str = "") -> dict[str, Any]:
        """What the verb needs, from a frame that says everything."""
        said = {
            "chat_id": chat or self.chat,
            "message_id": self.message,
            "id": self.message,
            "text": "soup!",
            "emoji": "!",
            "status": "online",
        }
        name = FRAMES.spoken["socket", "said"][verb]
        return {
            key: said[key]
            for key in FRAMES.inlined(FRAMES.document["components"]["messages"][name])["payload"]["properties"]
            if key in said
        }


@pytest.fixture
def settings() -> dict[str, str]:
    return {"LOGIN_TRIES_PER_ADDRESS": "1000"}


@pytest.fixture
async def stage(server: Server) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        names = ("mallory", "dave", "carol", "bob", "alice", "erin", "frank")
        *five, erin, frank = [await stack.enter_async_context(Person.registered(server, name)) for name in names]
        nobody = await stack.enter_async_context(Person.stranger(server))
        sessions = (await erin.get("/v1/auth/sessions")).expecting(200).json["sessions"]
        task = (await erin.post("/v1/chats/search", {"message": "pizza"})).expecting(201).json["task_id"]
        yield Stage(dict(zip(PERSONS, (nobody, *five), strict=True)), erin, frank, sessions[0]["id"], task)


def unasked(described: Iterable[Any], rows: Iterable[Any]) -> list[str]:
    """What a contract has and the table has not, and the reverse."""
    return sorted(str(one) for one in set(described) ^ set(rows))


def test_every_operation_and_every_verb_has_its_row() -> None:
    assert unasked(CONTRACT.operations, ROWS) == []
    assert unasked(FRAMES.replies, VERBS) == []


def test_a_new_operation_or_verb_without_a_row_would_be_noticed() -> None:
    assert unasked({*CONTRACT.operations, ("POST", "/v1/chats/{chat_id}/burn")}, ROWS) != []
    assert unasked({*FRAMES.replies, "burn"}, VERBS) == ["burn"]
    assert unasked(CONTRACT.operations, {**ROWS, ("GET", "/gone"): open_to_all(200)}) != []


async def test_every_operation_answers_everybody_as_it_should(stage: Stage) -> None:
    wrong, asked = [], 0
    for operation, row in ROWS.items():
        for name, status in zip(PERSONS, row.statuses, strict=True):
            who = stage.people[name]
            # The removed one asks right after the removal, each time.
            if "{" in operation[1] and (stage.is_worn or name == "removed"):
                await stage.prepares()

            answer = await stage.asks(who, operation, row)

            asked += 1
            stage.is_worn |= operation[0] != "GET" and answer.status < 400
            if answer.status != status:
                wrong.append(f"{operation} by {name}: {answer.status} {answer.body[:200]!r}")
            elif status == 404 or (status == 403 and name in STRANGERS and "{" in operation[1]):
                nothing = dict.fromkeys(("chat_id", "group_id", "message_id", "session_id", "task_id"), OF_NOTHING)
                if unseen(answer) != unseen(await stage.asks(who, operation, row, **nothing)):
                    wrong.append(f"{operation} by {name}: otherwise than of what does not exist")
    assert wrong == []
    assert asked == 6 * len(CONTRACT.operations)


def unseen(answer: Answer) -> tuple[int, dict[str, str], dict[str, object]]:
    headers = {name: value for name, value in answer.headers.items() if name not in {"X-Request-ID", "Date"}}
    return answer.status, headers, {**answer.json, "request_id": ""}


async def test_a_chat_named_in_a_query_is_no_more_seen_than_one_in_a_path(stage: Stage) -> None:
    await stage.prepares()
    for name in STRANGERS:
        here, nowhere = [
            await stage.people[name].get(f"/v1/search?q=pizza&chat_id={chat}") for chat in (stage.chat, OF_NOTHING)
        ]
        assert here.expecting(404).code == UNSEEN
        assert unseen(here) == unseen(nowhere)


async def test_every_verb_answers_everybody_as_the_same_request_would_be(stage: Stage) -> None:
    wrong, asked = [], 0
    async with AsyncExitStack() as stack:
        for name in PERSONS[1:]:  # the removed one's is open, and hears the chat, each time before the removal
            stage.sockets[name] = await stack.enter_async_context(stage.people[name].connects())
        for verb, verdicts in VERBS.items():
            for name, expected in zip(PERSONS, verdicts, strict=True):
                if stage.is_worn or name == "removed":
                    await stage.prepares()

                verdict = await told(stage, name, verb)

                asked += 1
                stage.is_worn |= verdict == GRANTED
                if verdict != expected:
                    wrong.append(f"{verb} by {name}: {verdict}")
                elif verdict == UNSEEN and await problem(stage, name, verb) != await problem(
                    stage, name, verb, OF_NOTHING
                ):
                    wrong.append(f"{verb} by {name}: otherwise than of a chat that does not exist")
    assert wrong == []
    assert asked == 6 * len(FRAMES.replies)


async def told(stage: Stage, name: str, verb: str) -> str:
    if name == "nobody":
        with pytest.raises(Refused) as refused:
            async with stage.people[name].connects():
                pass
        return refused.value.code
    refusal = await problem(stage, name, verb)
    return GRANTED if refusal is None else str(refusal["code"])


async def problem(stage: Stage, name: str, verb: str, chat: str = "") -> dict[str, Any] | None:
    """Why it was refused; None: it was not."""
    socket = stage.sockets[name]
    frame = stage.frame(verb, chat) | ({"cursor": socket.ready["cursor"]} if verb == "resume" else {})
    try:
        await socket.asks(verb, **frame)
    except Refused as refusal:
        return refusal.problem
    return None
