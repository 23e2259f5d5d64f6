"""What the tests of searching say again and again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlencode

import asyncpg
from redis import asyncio as redis

from proof.lab.redis import Valkey
from proof.lab.waiting import happens
from tests.actors import Person, Server

PATIENCE = 15.0
STEP = 0.02
BEHIND = "select coalesce((select position from log_followers where name = 'search'), -1) < max(position) from log_head"
# What the index should hold, beside what it holds: whatever is in one of them only.
DIFFERENCES = """
    select * from (
        (select id, chat_id, sender_id, seq, sent_at, search_fold(text) as text,
                search_split(search_fold(text)) as words from messages where deleted_at is null
         except all select message_id, chat_id, sender_id, seq, sent_at, text, words from search_documents)
        union all
        (select message_id, chat_id, sender_id, seq, sent_at, text, words from search_documents
         except all select id, chat_id, sender_id, seq, sent_at, search_fold(text), search_split(search_fold(text))
           from messages where deleted_at is null)) x
"""


async def indexed(sql: asyncpg.Connection, seconds: float = PATIENCE) -> float:
    """Wait until the index stands at the head of the log; the seconds it took."""
    began = time.monotonic()
    while await sql.fetchval(BEHIND):
        assert time.monotonic() - began < seconds, "the index does not follow"
        await asyncio.sleep(STEP)
    return time.monotonic() - began


async def search(person: Person, q: str, server: Server | None = None, **more: Any) -> dict[str, Any]:
    answer = await person.get(f"/v1/search?{urlencode({'q': q, **more})}", server=server or person.server)
    return dict(answer.expecting(200).json)


async def finds(person: Person, q: str, **more: Any) -> list[str]:
    """The texts of the hits."""
    return [hit["message"]["text"] for hit in (await search(person, q, **more))["hits"]]


async def marks(person: Person, q: str) -> list[list[str]]:
    """What is highlighted in each hit."""
    found = (await search(person, q, order="recent"))["hits"]
    return [[hit["message"]["text"][start:end] for start, end in hit["highlights"]] for hit in found]


async def is_true(sql: asyncpg.Connection) -> bool:
    """Does the index say what a full recount of the messages says?"""
    return not await sql.fetch(DIFFERENCES)


# --- in the background


def results_in(valkey: Valkey) -> dict[str, str]:
    """Settings: what is found lies there, and nothing else does."""
    return {"REDIS_URL": valkey.url, "WIRE": "postgres"}


@asynccontextmanager
async def emptied(url: str) -> "AsyncIterator[redis.Redis[bytes]]":
    """A look into Redis past the server, once it answers."""
    client: redis.Redis[bytes] = redis.from_url(url)
    await happens(partial(is_up, client), "Valkey")
    await client.flushall()
    yield client
    await client.connection_pool.disconnect(inuse_connections=True)


async def is_up(client: "redis.Redis[bytes]") -> bool:
    try:
        return bool(await client.ping())
    except (redis.RedisError, OSError):
        return False


async def begins(person: Person, words: str = "pizza") -> str:
    return str((await person.post("/v1/chats/search", {"message": words})).expecting(201).json["task_id"])


async def state(person: Person, task: str, server: Server | None = None) -> str:
    path = f"/v1/chats/search/status/{task}"
    return str((await person.get(path, server=server or person.server)).expecting(200).json["status"])


async def ends(person: Person, task: str, seconds: float = PATIENCE) -> str:
    async with asyncio.timeout(seconds):
        while (now := await state(person, task)) in {"WAITING", "IN_PROCESS"}:
            await asyncio.sleep(STEP)
    return now


async def page(person: Person, task: str, limit: int = 1000, **more: Any) -> dict[str, Any]:
    params = {"limit": limit, **more}
    return dict((await person.get(f"/v1/chats/search/{task}/messages", params=params)).expecting(200).json)


async def fetches(person: Person, task: str, limit: int = 1000) -> list[str]:
    return [hit["text"] for hit in (await page(person, task, limit))["messages"]]
