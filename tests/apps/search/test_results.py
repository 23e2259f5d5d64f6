"""What tasks found, until it is fetched: one suite for every store."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg
import pytest
from redis import asyncio as redis

from messenger.apps.search import results, tasks
from messenger.db.database import Database
from proof.lab.redis import Valkey
from proof.lab.waiting import happens
from tests.actors import Person
from tests.apps.search.finding import begins, emptied, ends, fetches, indexed, is_up, page, results_in, state
from tests.apps.talk import fill


@dataclass
class Kept:
    """A look into the store past the server."""

    sql: asyncpg.Connection
    redis: "redis.Redis[bytes] | None" = None

    async def count(self) -> int:
        if self.redis is None:
            return int(await self.sql.fetchval("select count(*) from search_results"))
        return sum([await self.redis.zcard(key) for key in await self.redis.keys("messenger:search:*")])

    async def lose(self) -> None:
        if self.redis is None:
            await self.sql.execute("truncate search_results")
        else:
            await self.redis.flushall()


@pytest.fixture(params=["postgres", "redis"])
def settings(request: pytest.FixtureRequest, valkey: Valkey) -> dict[str, str]:
    return results_in(valkey) if request.param == "redis" else {}


@pytest.fixture
async def kept(settings: dict[str, str], sql: asyncpg.Connection) -> AsyncIterator[Kept]:
    if not settings:
        yield Kept(sql)
        return
    async with emptied(settings["REDIS_URL"]) as client:
        yield Kept(sql, client)


@pytest.fixture
async def done(kept: Kept, bob: Person, lunch: str) -> str:
    task = await begins(bob)
    assert await ends(bob, task) == "SUCCESS"
    return task


async def test_hits_are_fetched_newest_first_and_once_and_then_nothing_is_left(bob, done, kept) -> None:
    assert await kept.count() == 5
    assert await fetches(bob, done, 2) == ["pizza 4", "pizza 3"]
    assert await kept.count() == 3
    last = await page(bob, done, 2, **{"from": "4"})
    assert [hit["text"] for hit in last["messages"]] == ["pizza 1", "pizza 0"]
    assert await page(bob, done, 2, **{"from": last["next"]["iterator"]}) == {**last, "messages": []}
    assert await fetches(bob, done) == ["pizza 2"]
    assert await fetches(bob, done) == []

    assert await kept.count() == 0
    if kept.redis is not None:
        left = await kept.redis.keys("*")
        assert [key for key in left if not key.startswith(b"messenger:limits:")] == []  # limits are there as well
    assert await state(bob, done) == "SUCCESS"


async def test_pages_fetched_at_the_same_time_never_overlap(kept, alice, sql, start, settings) -> None:
    servers = [alice.server, await start(**settings)]
    lunch = await alice.opens_chat("lunch")
    await fill(sql, lunch, alice, 120)
    await indexed(sql)
    task = await begins(alice, "filled")
    await ends(alice, task)
    path = f"/v1/chats/search/{task}/messages?limit=7"

    answers = await asyncio.gather(*(alice.get(path, server=servers[n % 2]) for n in range(24)))

    hits = [hit["message_id"] for answer in answers for hit in answer.expecting(200).json["messages"]]
    assert len(hits) == len(set(hits)) == 100  # as many as a task ever shows
    newest = await sql.fetch("select m.id::text from messages m order by m.id desc limit 100")
    assert set(hits) == {row["id"] for row in newest}
    assert await kept.count() == 0
    assert await state(alice, task) == "SUCCESS"


async def test_what_the_store_has_lost_is_a_failure_and_not_an_empty_answer(bob, done, kept) -> None:
    await fetches(bob, done, 2)
    nothing = await begins(bob, "pineapple")
    await ends(bob, nothing)
    await kept.lose()

    async with bob.connects() as socket:
        assert await fetches(bob, done) == []
        assert (await socket.hears("search_finished"))["status"] == "FAILED"

    assert await state(bob, done) == "FAILED"
    assert await fetches(bob, nothing) == []
    assert await state(bob, nothing) == "SUCCESS", "it had nothing to lose"


@pytest.mark.parametrize("settings", ["redis"], indirect=True)  # a table is rolled back by its database
async def test_what_cannot_be_shown_stays(bob, done, kept, dsn) -> None:
    path = f"/v1/chats/search/{done}/messages?limit=3"
    blocking = await asyncpg.connect(dsn)
    await blocking.execute("begin; lock table members in access exclusive mode")

    refused = await bob.get(path)  # it cannot be asked which chats are open to bob

    await blocking.close()

    assert refused.status == 503
    assert await kept.count() == 5
    assert len(await fetches(bob, done)) == 5


async def test_what_nobody_fetches_is_forgotten(bob, done, kept, dsn, config, sql) -> None:
    if kept.redis is not None:
        (key,) = await kept.redis.keys("messenger:search:*")
        assert 3500 < await kept.redis.ttl(key) <= 3600
    await sql.execute("update search_tasks set expires_at = clock_timestamp() - interval '1 ms'")
    db, found = Database(dsn), results.make(config)

    assert (await bob.get(f"/v1/chats/search/status/{done}")).expecting(404).code == "task-not-found"
    await tasks.sweep(db, found)

    await db.close()
    await found.close()
    assert await sql.fetchval("select count(*) from search_tasks") == 0
    assert await kept.count() == 0


async def test_with_an_account_goes_what_it_looked_for(bob, done, kept, sql) -> None:
    (await bob.asks("DELETE", "/v1/users/me")).expecting(204)

    assert await sql.fetchval("select count(*) from search_tasks") == 0
    assert await kept.count() == 0


@pytest.mark.parametrize("settings", ["redis"], indirect=True)
async def test_without_redis_a_page_is_refused_and_a_task_fails(
    bob: Person, done: str, kept: Kept, valkey: Any
) -> None:
    valkey.kill()
    try:
        refused = await bob.get(f"/v1/chats/search/{done}/messages?limit=2")
        failed = await begins(bob)

        assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "unavailable", "1")
        assert await ends(bob, failed, 30) == "FAILED"
    finally:
        valkey.start()
    assert kept.redis is not None
    await happens(partial(is_up, kept.redis), "Valkey")
    assert await fetches(bob, done) == []
    assert await state(bob, done) == "FAILED", "Redis came back empty"
