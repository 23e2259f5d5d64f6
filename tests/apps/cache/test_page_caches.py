"""What is kept is bounded, is nobody else's, and whatever becomes of Redis no answer is wrong, slow or missing."""

import asyncio
import pickle
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from redis import asyncio as redis

from messenger.app import create_app
from messenger.apps.cache.backends import LARGEST, PREFIX, BoundedMemory, CheckedRedis
from messenger.apps.messages.history import HISTORY, History, PageQuery
from messenger.errors import ChatNotFound
from messenger.identity import Identity, SessionId, UserId
from messenger.web.app_keys import LOG
from messenger.web.server import make_runner
from proof.lab.postgres import Postgres
from tests.actors import Person, Server
from tests.apps.talk import says
from tests.conftest import configured
from tests.log.test_wires import running_valkey
from tests.sizes import sized

PROBES, CHANGES = sized(5_000), sized(250)  # in each of the two


def page(chat: str, limit: int = 50) -> str:
    return f"/v1/chats/{chat}/messages?limit={limit}"


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[str]:
    async with running_valkey(tmp_path) as (url, _):
        yield url


@pytest.fixture(params=["memory", "redis"])
def kept_in(request, valkey) -> dict[str, str]:
    """The settings of a server that keeps its pages there."""
    return {"CACHE_TYPE": request.param, "REDIS_URL": valkey, "WIRE": "postgres"}


@asynccontextmanager
async def speaking(url: str) -> AsyncIterator["redis.Redis[bytes]"]:
    """A look into Redis past the servers."""
    client = redis.from_url(url)
    try:
        yield client
    finally:
        await client.connection_pool.disconnect(inuse_connections=True)


# --- the backends ---


async def test_memory_is_bounded_and_the_longest_unused_goes_first():
    memory = BoundedMemory(most_bytes=100)

    for name in "abcd":
        await memory.set(name, name.encode() * 30)
        await memory.get("a")

    assert [await memory.has(name) for name in "abcd"] == [True, False, True, True]
    await memory.set("a", b"a" * 10)
    await memory.set("e", b"e" * (LARGEST + 1))
    assert (memory.bytes, await memory.get("e")) == (70, None)
    await memory.clear()
    assert memory.bytes == 0


async def test_what_is_too_old_is_gone():
    memory = BoundedMemory()

    await memory.set("a", b"a", -(10**6))
    await memory.set("b", b"b", 0)
    memory._cache["b"] = (b"b", int(time.time()) - 5)

    assert await memory.get("b") is None
    assert memory.bytes == len(await memory.get("a") or b"")


async def test_redis_gives_back_what_was_kept_under_that_name_and_nothing_else(valkey):
    cache = CheckedRedis(valkey, 5.0)
    async with speaking(valkey) as client:
        await cache.set("mine", b"my page")
        assert await cache.get("mine") == b"my page"
        assert 0 < await client.ttl(PREFIX + "mine") <= 600
        await client.set(PREFIX + "yours", await client.get(PREFIX + "mine"))
        await client.set(PREFIX + "cut", (await client.get(PREFIX + "mine"))[:-1])
        await client.set(PREFIX + "planted", b"!" + pickle.dumps({"status": 200}))
        await client.set(PREFIX + "empty", b"")
        for name in ("yours", "cut", "planted", "empty", "never"):
            assert await cache.get(name) is None, name
        await cache.set("large", b"x" * (LARGEST + 1))
        assert await cache.get("large") is None
    await cache.close()


# --- pages ---


async def test_a_second_read_does_not_query_messages(tmp_path):
    """By PostgreSQL's own account."""
    postgres = Postgres.made(tmp_path)
    with (postgres.data / "postgresql.conf").open("a") as conf:
        conf.write("shared_preload_libraries = 'pg_stat_statements'\n")
    async with postgres.running(schema=True):
        sql = await asyncpg.connect(postgres.dsn)
        await sql.execute("create extension pg_stat_statements")

        async def queries() -> int:
            words = "from messages"
            return int(
                await sql.fetchval("select coalesce(sum(calls), 0) from pg_stat_statements where query ~ $1", words)
            )

        server = make_runner(create_app(configured(tmp_path, {}), postgres.dsn))
        async with Server.running(server) as running, Person.registered(running, "alice") as alice:
            chat = await alice.opens_chat("lunch")
            for number in range(3):
                await says(alice, chat, f"{number}")
            first = (await alice.get(page(chat))).expecting(200)
            before = await queries()
            assert before

            again = [(await alice.get(page(chat))).expecting(200).body for _ in range(20)]

            assert again == [first.body] * 20
            assert await queries() == before
            fresh = await alice.get(page(chat), headers={"If-None-Match": first.headers["ETag"]})
            assert (fresh.status, fresh.body, await queries()) == (304, b"", before)
            await says(alice, chat, "more")
            assert (await alice.get(page(chat), headers={"If-None-Match": first.headers["ETag"]})).status == 200
            assert await queries() > before
        await sql.close()


async def test_a_page_that_one_worker_kept_in_redis_serves_the_other(start, valkey):
    rules = {"CACHE_TYPE": "redis", "REDIS_URL": valkey}
    here, there = [await start(**rules) for _ in range(2)]
    async with Person.registered(here, "alice") as alice:
        chat = await alice.opens_chat("lunch")
        await says(alice, chat, "pizza?")
        kept = (await alice.get(page(chat))).body
        async with speaking(valkey) as client, asyncio.timeout(20):
            while not await client.keys(f"{PREFIX}*"):
                await asyncio.sleep(0.01)
        lines = there.runner.app[HISTORY]._lines
        asked, ask = [], lines.rows

        async def rows(statement, *arguments):
            asked.append(statement)
            return await ask(statement, *arguments)

        lines.rows = rows

        assert (await alice.get(page(chat), server=there)).body == kept
        assert not any("from messages g\n     where g.chat_id" in statement for statement in asked)


async def test_nobody_gets_anybody_elses_page_nor_an_old_one(start, kept_in):
    """Random people ask for random pages while another process changes them; a fresh read is the judge."""
    chance = random.Random(20260101)
    here, there = [await start(**kept_in) for _ in range(2)]
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(Person.registered(there, f"person {n}")) for n in range(5)]
        chats = [await people[n].opens_chat(f"chat {n}", people[:n]) for n in range(5)]
        changes = Changes(chance, people, chats)
        for _ in range(60):
            await changes.one()
        history: History = here.runner.app[HISTORY]
        fresh = History(history._lines, here.runner.app[LOG], None)
        hits = 0
        for number in range(PROBES):
            if number % (PROBES // CHANGES) == 0:
                await changes.one()
            who = chance.choice(people)
            me = Identity(UserId(int(who.user_id)), SessionId(0))
            where = (me, int(chance.choice(chats)), changes.somewhere())

            answer = await told(history, *where)

            assert answer == await told(fresh, *where), (number, where)
            hits += isinstance(answer, bytes)
        assert hits > PROBES / 4, "most of them were pages"
        assert changes.kinds == {"say", "edit", "delete", "react", "read", "rename", "kick", "invite"}


async def told(history: History, me: Identity, chat: int, where: PageQuery) -> bytes | str:
    try:
        return (await history.page(me, chat, where, time.monotonic())).body
    except ChatNotFound:
        return "no such chat"


class Changes:
    def __init__(self, chance: random.Random, people: list[Person], chats: list[str]) -> None:
        self.chance = chance
        self.people = people
        self.chats = chats
        self.said: dict[str, list[str]] = {chat: [] for chat in chats}
        self.authors: dict[str, Person] = {}
        self.kinds: set[str] = set()

    def somewhere(self) -> PageQuery:
        number, limit = self.chance.randrange(1, 40), self.chance.choice((1, 3, 50))
        where = self.chance.choice(
            (
                PageQuery.from_number(1, limit),
                PageQuery.from_number(number, limit),
                PageQuery.newest(limit),
                PageQuery.around("first_unread", 0, limit),
                PageQuery.counted("first_unread", 0, 2, limit),
            )
        )
        return replace(where, has_read_cursors=self.chance.random() < 0.8)  # noqa: PLR2004

    async def one(self) -> None:
        """By somebody who may or may not be allowed to."""
        number = self.chance.randrange(len(self.chats))
        who, chat = self.chance.choice(self.people), self.chats[number]
        owner, path = self.people[number], f"/v1/chats/{chat}"
        kind = self.chance.choice(
            ("say", "say", "say", "edit", "delete", "react", "read", "rename", "kick", "invite", "invite")
        )
        message = self.chance.choice(self.said[chat] or [""])
        if kind == "say":
            answer = await who.post(f"{path}/messages", {"text": f"words {self.chance.random()}", "client_id": "k" * 9})
            answer = answer if answer.status != 409 else await who.post(f"{path}/messages", {"text": "other words"})
            if answer.status == 201:
                self.said[chat].append(answer.json["message_id"])
                self.authors[answer.json["message_id"]] = who
        elif kind == "rename":
            answer = await who.asks("PATCH", "/v1/users/me", {"user_name": f"{who.name} {self.chance.random()}"})
        elif kind == "kick":
            answer = await owner.removes(chat, who) if who is not owner else await who.get(path)
        elif kind == "invite":
            answer = await owner.invites(chat, who)
        elif kind == "read":
            answer = await who.post(f"{path}/read", {"message_id": message}) if message else await who.get(path)
        elif kind == "react":
            answer = await who.asks("PUT", f"{path}/messages/{message or 1}/reactions/!")
        elif kind == "edit":
            author = self.authors.get(message, who)
            answer = await author.asks("PATCH", f"{path}/messages/{message or 1}", {"text": "edited"})
        else:
            answer = await owner.asks("DELETE", f"{path}/messages/{message or 1}")
        if answer.status < 300:
            self.kinds.add(kind)


async def test_with_redis_flushed_or_dead_at_any_moment_answers_stay_right(start, tmp_path):
    async with running_valkey(tmp_path) as (url, process), AsyncExitStack() as stack:
        rules = {"CACHE_TYPE": "redis", "REDIS_URL": url, "WIRE": "postgres"}
        here, there = [await start(**rules) for _ in range(2)]
        alice = await stack.enter_async_context(Person.registered(here, "alice"))
        bob = await stack.enter_async_context(Person.registered(there, "bob"))
        chat = await alice.opens_chat("lunch", [bob])

        async def talk(times: int) -> float:
            slowest = 0.0
            for _ in range(times):
                text = (await says(bob, chat, f"{time.monotonic()}"))["text"]
                for _ in range(3):
                    began = time.monotonic()
                    shown = (await alice.get(page(chat, 1000))).expecting(200).json["messages"]
                    slowest = max(slowest, time.monotonic() - began)
                    assert shown[-1]["text"] == text
            return slowest

        await talk(5)
        async with speaking(url) as client:
            for _ in range(5):
                await client.flushall()
                await talk(1)
            await client.config_set("maxmemory", "1")  # whatever is written is refused
            await talk(3)
        process.send_signal(19)  # stopped: it takes connections and says nothing
        stopped = await talk(10)
        process.kill()
        process.wait()
        killed = await talk(10)

        assert max(stopped, killed) < 5.0, "nobody waits for Redis"
        port = int(url.rpartition(":")[2])
        async with running_valkey(tmp_path, port) as (again, _), speaking(again) as client, asyncio.timeout(60):
            while not await client.keys(f"{PREFIX}*"):
                await talk(1)
