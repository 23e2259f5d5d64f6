"""Searching a large archive: what the product takes, beside the same question by ILIKE and by a GiST index; and how far
the index falls behind while the server takes all the sends it can."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import quote

import aiohttp
import asyncpg

from proof.bench.load import archive
from proof.bench.load.archive import Archive
from proof.bench.load.server import TOOL_CORES, Server
from proof.bench.load.servers import Servers

CHATS, MINE = 1000, 200
PAGE = 20
ASKED = 200  # times, of each sort
COMPARED = 6  # by ILIKE and GiST, which take their time
STEP = 0.05
MINE_ONLY = "join members m on m.chat_id = g.chat_id and m.user_id = $1"
ILIKE = f"select g.id from messages g {MINE_ONLY} where g.text ilike '%' || $2 || '%' order by g.id desc limit {PAGE}"
# What one of the five texts asks for: GiST over the words of the messages themselves.
WORDS = "to_tsvector('pg_catalog.russian', text)"
GIST = f"create index bench_gist_idx on messages using gist ({WORDS})"
BY_GIST = f"""
    select g.id from messages g {MINE_ONLY}
     where {WORDS} @@ websearch_to_tsquery('russian', $2) order by g.id desc limit {PAGE}
"""
BY_GIN = f"""
    select g.message_id from search_documents g {MINE_ONLY}
     where g.words && $2::text[] order by g.message_id desc limit {PAGE}
"""
FORMS = "select search_forms($1)"
SIZES = """
    select c.relname as name, pg_relation_size(c.oid) as bytes from pg_class c
     where c.relname in ('messages', 'search_documents', 'search_documents_words_idx', 'search_words',
                         'search_words_word_idx', 'bench_gist_idx')
"""
EXPLAINED = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
}
SCAN = re.compile(r"((?:Bitmap )?Index (?:Only )?Scan|Seq Scan) (?:using|on) (search_(?:documents|words)\w*)")
LAG = """
    select h.position as head, f.position as here
      from (select position from log_head order by position desc limit 1) h, log_followers f where f.name = 'search'
"""
Figures = dict[str, Any]


async def search(servers: Servers, messages: int) -> Figures:
    server = await servers.named("product")
    tell(f"writing {messages} messages")
    past = await archive.fill(server.cluster, server.people, messages, chats=CHATS, mine=MINE)
    questions = sorts(past)
    found: Figures = {"messages": messages, "chats": CHATS, "mine": MINE, "sorts": {}}
    async with server.cluster.connected() as connection:
        for sort, words in questions.items():
            tell(f"asking for {sort}")
            asked = await ask(server.process.url, past, words, ASKED)
            found["sorts"][sort] = {"product": asked, "ILIKE": await compare(connection, ILIKE, past, words)}
        found["plans"] = await plans(servers, server, connection, past, questions)
        tell("the sends, and how far the index is behind")
        found["lag"] = await lag(servers, server, connection)
        tell("GiST beside GIN")
        found["gist"] = await gist(connection, past, questions)
        found["sizes"] = {row["name"]: row["bytes"] for row in await connection.fetch(SIZES)}
    return found


def sorts(past: Archive) -> dict[str, list[str]]:
    rare = past.rare()
    return {
        "a rare word": rare,
        "a part of a rare word": [word[1:7] for word in rare],
        "a common word": past.common(),
        "nothing": [f"{word[:4]}qzx{word[4:8]}" for word in rare],
    }


async def ask(url: str, past: Archive, words: Sequence[str], times: int) -> Figures:
    """One after the other, over HTTP, as a person would."""
    took, hits = [], 0
    headers = {"Authorization": f"session_id {past.asker.token}"}
    async with aiohttp.ClientSession(url, headers=headers) as http:
        for number in range(times + len(words)):
            path = f"/v1/search?limit={PAGE}&order=recent&q={quote(words[number % len(words)])}"
            began = perf_counter()
            async with http.get(path) as answer:
                body = await answer.read()
            assert answer.status == 200, body
            if number >= len(words):  # each was asked once before the clock ran
                took.append(perf_counter() - began)
                hits += len(json.loads(body)["hits"])
    return {**quantiles(took), "hits": hits / times}


async def compare(connection: asyncpg.Connection, statement: str, past: Archive, words: Sequence[Any]) -> Figures:
    took, hits = [], 0
    for word in words[:COMPARED]:
        began = perf_counter()
        hits += len(await connection.fetch(statement, past.asker.user_id, word))
        took.append(perf_counter() - began)
    return {**quantiles(took), "hits": hits / len(took)}


def quantiles(took: Sequence[float]) -> Figures:
    ordered = sorted(took)
    last = len(ordered) - 1
    return {"p50_ms": ordered[last // 2] * 1e3, "p99_ms": ordered[round(last * 0.99)] * 1e3, "asked": len(took)}


async def plans(
    servers: Servers, server: Server, connection: asyncpg.Connection, past: Archive, questions: dict[str, list[str]]
) -> dict[str, dict[str, int]]:
    """Which ways the statements of the server itself take, as PostgreSQL explains each that it carries out."""
    found = {}
    log = server.cluster.folder / "data" / "logs" / "postgresql.log"
    async with explained(connection), servers.fresh("product") as process:
        for sort, words in questions.items():
            size = log.stat().st_size
            await ask(process.url, past, words, 1)
            found[sort] = ways(log, size)
    return found


@asynccontextmanager
async def explained(connection: asyncpg.Connection) -> AsyncIterator[None]:
    name = await connection.fetchval("select quote_ident(current_database())")
    for setting, value in EXPLAINED.items():
        await connection.execute(f"alter database {name} set {setting} = '{value}'")
    try:
        yield
    finally:
        await connection.execute(f"alter database {name} reset all")


def ways(log: Path, since: int) -> dict[str, int]:
    with log.open("rb") as file:
        file.seek(since)
        said = file.read().decode(errors="replace")
    counted: dict[str, int] = {}
    for scan in SCAN.finditer(said):
        way = f"{scan[1]} on {scan[2]}"
        counted[way] = counted.get(way, 0) + 1
    return counted


async def lag(servers: Servers, server: Server, connection: asyncpg.Connection) -> Figures:
    """How old the newest message is that cannot be found yet, looked at again and again while 256 people send."""
    pairs = await server.pairs(servers.sized(256))
    spec: Figures = {"pairs": pairs, "seconds": 5 * servers.seconds}
    load = asyncio.ensure_future(servers.load("sends", server.process, server.families(), TOOL_CORES, **spec))
    heads: list[tuple[float, int]] = []
    behind: list[float] = []
    try:
        while not load.done():
            row = await connection.fetchrow(LAG)
            now = perf_counter()
            heads.append((now, row["head"]))
            # When was the head where the index is now? What came right after that is what waits longest.
            waits = next((now - at for at, head in heads if head > row["here"]), 0.0)
            behind.append(waits)
            await asyncio.sleep(STEP)
        sent = await load
    finally:
        load.cancel()
    return {**quantiles(behind), "worst_ms": max(behind) * 1e3, "acked_per_s": sent["acked_per_s"]}


async def gist(connection: asyncpg.Connection, past: Archive, questions: dict[str, list[str]]) -> Figures:
    began = perf_counter()
    await connection.execute("set maintenance_work_mem = '512MB'")
    await connection.execute(GIST)
    built = perf_counter() - began
    await connection.execute("analyze messages")
    found: Figures = {"built_s": built, "sorts": {}}
    for sort in ("a rare word", "a common word", "nothing"):
        words = questions[sort]
        found["sorts"][sort] = {
            "GiST": await compare(connection, BY_GIST, past, words),
            "GIN": await compare(connection, BY_GIN, past, [await connection.fetchval(FORMS, word) for word in words]),
        }
    return found


def tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
