"""What the tests of searching say again and again."""

import asyncio
import time
from typing import Any
from urllib.parse import urlencode

import asyncpg

from tests.actors import Person, Server

PATIENCE = 15.0
STEP = 0.02
BEHIND = "select coalesce((select position from log_followers where name = 'search'), -1) < max(position) from log_head"
# What the index should hold, beside what it holds: whatever is in one of them only.
DIFFERENCES = """
    select * from (
        (select id, chat_id, sender_id, seq, sent_at, search_fold(text) as text, search_words(search_fold(text)) as ts
           from messages where deleted_at is null
         except all select message_id, chat_id, sender_id, seq, sent_at, text, ts from search_documents)
        union all
        (select message_id, chat_id, sender_id, seq, sent_at, text, ts from search_documents
         except all select id, chat_id, sender_id, seq, sent_at, search_fold(text), search_words(search_fold(text))
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
