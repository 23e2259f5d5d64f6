"""What the tests of chats need besides people: something said and read, and an ear at the log."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from messenger.log.entries import Entry, Run
from messenger.web.app_keys import LOG
from tests.actors import Person, Server
from tests.people import present

APPEND = """
    select * from log_append($1::bigint[], $2::bigint[], array_fill(null::bigint, array[cardinality($1::bigint[])]),
        $3::text[], array_fill(null::smallint, array[cardinality($1::bigint[])]), $3::text[],
        array_fill(null::bigint, array[cardinality($1::bigint[])]),
        $4::bigint[], $5::bigint[], array_fill(null::bigint, array[cardinality($4::bigint[])]), $6::bigint[],
        interval '5 minutes')
"""

Say = Callable[..., Awaitable[str]]
Read = Callable[[Person, str, str], Awaitable[None]]
Crowd = Callable[[int], Awaitable[list[str]]]
Event = dict[str, Any]


@pytest.fixture
async def carol(server: Server) -> AsyncIterator[Person]:
    async with present(server, "carol") as person:
        yield person


@pytest.fixture
def say(sql: asyncpg.Connection) -> Say:
    """`await say(alice, lunch, "pizza?")`: by the log's own function, whatever sub-app sends messages."""

    async def said(who: Person, chat: str, text: str) -> str:
        row = await sql.fetchrow(APPEND, [int(chat)], [int(who.user_id)], [text], [], [], [])
        assert row["s_status"] == ["new"], row["s_status"]
        return str(row["last"] - len(row["e_kind"] or ()))

    return said


@pytest.fixture
def read(sql: asyncpg.Connection) -> Read:
    async def has_read(who: Person, chat: str, message: str) -> None:
        row = await sql.fetchrow(APPEND, [], [], [], [int(chat)], [int(who.user_id)], [int(message)])
        assert row["r_status"] == ["read"], row["r_status"]

    return has_read


@pytest.fixture
def crowd(sql: asyncpg.Connection) -> Crowd:
    """The ids of so many people who have never signed in."""

    async def gathered(size: int) -> list[str]:
        statement = "insert into users (name) select 'extra ' || n from generate_series(1, $1) n returning id"
        return [str(row["id"]) for row in await sql.fetch(statement, size)]

    return gathered


class Ear:
    """Hears live what one person's connection would be sent, and nothing else."""

    def __init__(self, person: Person, session_id: str) -> None:
        self._log = person.server.runner.app[LOG]
        self.subscription = self._log.subscribe(int(person.user_id), int(session_id), self)
        self._taken: list[bytes] = []

    @classmethod
    async def of(cls, person: Person) -> "Ear":
        sessions = (await person.get("/v1/auth/sessions")).expecting(200).json["sessions"]
        return await cls(person, next(one["id"] for one in sessions if one["current"])).open()

    async def open(self) -> "Ear":
        head = await self.subscription.attach()
        async for page in self.subscription.catch_up(head):
            for entry in page:
                self.take(entry)
        return self

    def take(self, entry: Entry) -> None:
        if entry.event:
            self._taken.append(entry.event)

    def take_run(self, run: Run) -> None:
        for entry in run.entries:
            self.take(entry)

    def take_note(self, note: bytes) -> None:
        raise AssertionError("nobody says passing things here")

    def end(self) -> None:
        raise AssertionError("nobody signs out here")

    def restart(self) -> None:
        raise AssertionError("the log goes on here")

    async def frames(self) -> list[bytes]:
        """Everything up to now, once."""
        await self._log.barrier()
        taken, self._taken = self._taken, []
        return taken

    async def events(self) -> list[Event]:
        return [json.loads(frame) for frame in await self.frames()]


@pytest.fixture
async def ear() -> AsyncIterator[Callable[[Person], Awaitable[Ear]]]:
    ears: list[Ear] = []

    async def opened(person: Person) -> Ear:
        ears.append(await Ear.of(person))
        return ears[-1]

    yield opened
    for one in ears:
        one.subscription.detach()


async def missed(person: Person, cursor: str) -> list[Event]:
    """What a replay after a cursor tells this person."""
    reader = person.server.runner.app[LOG].reader
    entries, _ = await reader.page(int(person.user_id), int(cursor.partition(".")[2]), [], 0)
    return [json.loads(entry.event) for entry in entries if entry.event]


async def synced(person: Person) -> dict[str, Any]:
    return dict((await person.get("/v1/sync")).expecting(200).json)


@pytest.fixture
async def floors_are_true(sql: asyncpg.Connection) -> AsyncIterator[None]:
    """After the test: what the chats remember of their members' markers is what the markers say."""
    yield
    wrong = await sql.fetch(
        """
        select c.id, c.floor_seq, c.floor_count, x.lowest, x.standing
          from chats c
          left join lateral (select m.read_seq as lowest, count(*) as standing from members m where m.chat_id = c.id
                              group by m.read_seq order by m.read_seq limit 1) x on true
         where c.deleted_at is null
           and (c.floor_seq, c.floor_count) is distinct from (coalesce(x.lowest, c.head_seq), coalesce(x.standing, 0))
        """
    )
    assert wrong == []
