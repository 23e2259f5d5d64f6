"""The table of rights: written by hand, kept in data, and obeyed over HTTP, cell by cell."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import asyncpg
import pytest

from messenger.apps.chats import gate
from messenger.apps.chats.gate import Action, EffectiveRole
from tests.actors import Answer, Person, Server
from tests.apps.chats.conftest import Say

PAGE = Path(__file__).parents[3] / "docs" / "rights.md"
ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| (yes|no) \| (yes|no) \| (yes|no) \| (yes|no) \|$", re.MULTILINE)
SEATS: tuple[EffectiveRole, ...] = ("owner", "admin", "member", "peer")
ACTIONS: tuple[Action, ...] = get_args(Action)

pytestmark = pytest.mark.usefixtures("floors_are_true")


def published() -> dict[tuple[str, str], bool]:
    return {
        (action, seat): word == "yes"
        for action, *words in ROW.findall(PAGE.read_text())
        for seat, word in zip(SEATS, words, strict=True)
    }


def test_the_published_table_is_the_one_that_decides() -> None:
    decided = {(action, seat): gate.may(seat, action) for action in ACTIONS for seat in SEATS}

    assert published() == decided
    assert len(decided) == 48


def test_rights_only_grow_from_member_to_owner() -> None:
    for action in ACTIONS:
        assert gate.may("owner", action) >= gate.may("admin", action) >= gate.may("member", action), action


def test_in_a_direct_chat_a_role_says_nothing() -> None:
    assert {gate.effective_role("direct", role) for role in get_args(gate.Role)} == {"peer"}
    assert gate.effective_role("group", "admin") == gate.effective_role("chat", "admin") == "admin"


@dataclass
class Table:
    """A fresh chat with one person in every seat, and somebody else of every role besides."""

    server: Server
    alice: Person
    bob: Person
    carol: Person
    dave: Person
    erin: Person
    say: Say
    sql: asyncpg.Connection
    peer: Person = field(init=False)  # the other one in the latest direct chat

    async def sit(self, seat: EffectiveRole) -> tuple[Person, str]:
        """Alice owns the chat, Bob is its admin, Carol a member; Erin is another owner, admin or member as needed."""
        if seat == "peer":
            self.peer = Person(self.server, self.carol.http, "somebody new", await self.somebody())
            return self.carol, await self.carol.talks_to(self.peer)
        chat = await self.alice.opens_chat("lunch", members=[self.bob, self.carol, self.erin])
        await self.alice.makes(chat, self.bob, "admin")
        return {"owner": self.alice, "admin": self.bob, "member": self.carol}[seat], chat

    async def somebody(self) -> str:
        return str(await self.sql.fetchval("insert into users (name) values ('somebody new') returning id"))

    async def tries(self, action: Action, who: Person, chat: str) -> Answer:
        return await ATTEMPTS[action](self, who, chat)

    async def removes(self, who: Person, chat: str, role: str) -> Answer:
        if (await who.sees(chat))["kind"] == "direct":
            return await who.removes(chat, self.peer)
        (await self.alice.makes(chat, self.erin, role)).expecting(200)
        return await who.removes(chat, self.erin)

    async def leaves(self, who: Person, chat: str) -> Answer:
        if who is self.alice:  # its only owner could not, whatever the right
            (await self.alice.makes(chat, self.bob, "owner")).expecting(200)
        return await who.leaves(chat)

    async def deletes_message(self, who: Person, chat: str) -> Answer:
        other = self.peer if (await who.sees(chat))["kind"] == "direct" else self.erin
        message = await self.say(other, chat, f"nonsense {chat} {who.name}")
        path = f"/v1/chats/{chat}/messages/{message}"
        # The contract of messages is told elsewhere; here it only matters who may.
        async with who.http.delete(who.server.url + path, headers=who.headers) as response:
            return Answer("DELETE", path, response.status, response.headers, await response.read())


ATTEMPTS: dict[Action, Callable[[Table, Person, str], Awaitable[Answer]]] = {
    "read": lambda table, who, chat: who.get(f"/v1/chats/{chat}"),
    "mute": lambda table, who, chat: who.changes(chat, muted_until="2030-01-01T00:00:00Z"),
    "take_name": lambda table, who, chat: who.joins(chat, "somebody else"),
    "leave": lambda table, who, chat: table.leaves(who, chat),
    "change_chat": lambda table, who, chat: who.changes(chat, chat_name="dinner"),
    "add_members": lambda table, who, chat: who.invites(chat, table.dave),
    "delete_message": lambda table, who, chat: table.deletes_message(who, chat),
    "remove_member": lambda table, who, chat: table.removes(who, chat, "member"),
    "remove_admin": lambda table, who, chat: table.removes(who, chat, "admin"),
    "remove_owner": lambda table, who, chat: table.removes(who, chat, "owner"),
    "change_roles": lambda table, who, chat: who.makes(chat, table.carol, "admin"),
    "delete_chat": lambda table, who, chat: who.deletes(chat),
}


@pytest.fixture
async def table(start: Callable[..., Awaitable[Server]], say: Say, sql: asyncpg.Connection) -> AsyncIterator[Table]:
    server = await start(APPS="auth,chats,messages")
    async with AsyncExitStack() as stack:
        names = ("alice", "bob", "carol", "dave", "erin")
        people = [await stack.enter_async_context(Person.registered(server, name)) for name in names]
        yield Table(server, *people, say, sql)


async def test_every_cell_of_the_table_is_what_happens(table: Table) -> None:
    wrong = []
    for (action, seat), is_allowed in published().items():
        who, chat = await table.sit(seat)  # type: ignore[arg-type]

        answer = await table.tries(action, who, chat)  # type: ignore[arg-type]

        happened = "no" if (answer.status, answer.status == 403 and answer.code) == (403, "forbidden") else "yes"
        if happened != ("yes" if is_allowed else "no") or answer.status not in {200, 201, 204, 403}:
            wrong.append(f"{action} by {seat}: {answer.status}")
    assert wrong == []


async def test_a_flipped_cell_would_be_noticed(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other way round: every decision is made by the table and by nothing else."""
    # A person who may not even remove a member is stopped there.
    behind_another = {(action, seat) for action in ("remove_admin", "remove_owner") for seat in ("member", "peer")}
    unmoved = []
    for (action, seat), is_allowed in published().items():
        if (action, seat) in behind_another:
            continue
        who, chat = await table.sit(seat)  # type: ignore[arg-type]
        prepared = dict(gate.RIGHTS)
        prepared[action] = prepared[action] ^ {seat}  # type: ignore[index,operator]
        with monkeypatch.context() as patch:
            patch.setattr(gate, "RIGHTS", prepared)
            flipped = await table.tries(action, who, chat)  # type: ignore[arg-type]
        if (flipped.status == 403) is not is_allowed:
            unmoved.append(f"{action} by {seat}: {flipped.status}")
    assert unmoved == []


def unseen(answer: Answer) -> tuple[int, dict[str, str], dict[str, object]]:
    headers = {name: value for name, value in answer.headers.items() if name not in {"X-Request-ID", "Date"}}
    return answer.status, headers, {**answer.json, "request_id": ""}


async def test_a_stranger_asking_wrongly_learns_no_more_than_of_a_chat_that_does_not_exist(
    alice: Person, bob: Person, mallory: Person
) -> None:
    chat = await alice.opens_chat("lunch", members=[bob], join="invite")
    asked = [
        ("POST", "/members", {"user_ids": ["999999"]}),  # a person who does not exist
        ("POST", "/members", {"user_ids": [bob.user_id]}),  # one who is in already
        ("POST", "/members", {"user_ids": []}),
        ("PATCH", f"/members/{alice.user_id}", {"role": "member"}),  # the last owner
        ("PATCH", f"/members/{bob.user_id}", {"role": "king"}),
        ("DELETE", "/members/me", None),
        ("DELETE", "/members/999999", None),
        ("PATCH", "", {"muted_until": None}),
        ("PATCH", "", {}),
        ("PATCH", "", {"chat_name": ""}),
        ("POST", "/users", {"user_name": ""}),
    ]

    for method, rest, body in asked:
        there = await mallory.asks(method, f"/v1/chats/{chat}{rest}", body)
        nowhere = await mallory.asks(method, f"/v1/chats/999999{rest}", body)
        assert unseen(there) == unseen(nowhere), f"{method} {rest}"
        assert there.status in {400, 404}
