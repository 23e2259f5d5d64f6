"""The plans of the functions that write the log: what a batch reads must not grow with the installation.

PostgreSQL plans a function's statements once for a connection, with what it then believes of the tables; they grow.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from messenger.log.appender import PLANS
from messenger.log.known import HARMLESS
from tests.log.test_append import append, append_lone
from tests.log.test_append_known import APPEND_KNOWN, EPOCH

TOLD = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
}
PEOPLE, CHATS, MESSAGES = 20, 1000, 10_000


class Plans(list[dict[str, Any]]):
    """What auto_explain tells of a connection's statements."""

    def hear(self, connection: asyncpg.Connection, message: Any) -> None:
        _, _, plan = message.message.partition("plan:\n")
        self.append(json.loads(plan)["Plan"])

    def nodes(self) -> Iterator[dict[str, Any]]:
        below = list(self)
        while below:
            node = below.pop()
            below.extend(node.get("Plans", ()))
            yield node

    def widest(self) -> tuple[float, str]:
        """The most rows that a step gave, in all its loops, and which."""
        return max(
            (node["Actual Rows"] * node["Actual Loops"], f"{node['Node Type']} {node.get('Index Name', '')}")
            for node in self.nodes()
        )


@pytest.fixture
async def writer(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, server_settings=PLANS)
    yield connection
    await connection.close()


async def grow(sql: asyncpg.Connection) -> None:
    await sql.execute(
        f"""
        insert into users (id, name) overriding system value select n, 'p' || n from generate_series(1, {PEOPLE}) n;
        insert into chats (id, name, head_seq, floor_count) overriding system value
        select n, 'talk', {MESSAGES // CHATS}, {PEOPLE} from generate_series(1, {CHATS}) n;
        insert into members (chat_id, user_id)
        select c, p from generate_series(1, {CHATS}) c, generate_series(1, {PEOPLE}) p;
        insert into messages (chat_id, seq, id, sender_id, key, body_hash, text, sent_at)
        select 1 + n % {CHATS}, 1 + n / {CHATS}, n - {MESSAGES}, 1, 'x' || n, 0, 'words', now()
          from generate_series(0, {MESSAGES} - 1) n;
        """
    )


async def write(writer: asyncpg.Connection, turn: int) -> None:
    """Whatever the server asks: a batch of everything, a lone message, a batch of known people."""
    sends = [(chat, 1, f"c:{turn}.{chat}", "words", *([chat] if chat == 3 else [])) for chat in range(1, 26)]
    await append(writer, *sends, marks=[(chat, 2, -MESSAGES + chat) for chat in range(25)])
    await append_lone(writer, 30, 1, f"c:{turn}", "words")
    if turn == 0:
        return  # nobody has a seat yet
    chats = list(range(40, 65))
    at = await writer.fetchval("select max(position) from log_head")
    seqs, nothing = [MESSAGES // CHATS + 1] * 25, [0] * 25
    await writer.fetchrow(
        APPEND_KNOWN.format("log_append_known"),
        *(at, await writer.fetchval(EPOCH), HARMLESS, chats, [1] * 25, seqs, [f"c:known{n}" for n in chats]),
        *(["words"] * 25, [None] * 25, nothing, [seq - 1 for seq in seqs], nothing, nothing),
    )


@pytest.mark.parametrize("known_as", ["never looked at", "large", "empty when it was vacuumed"])
async def test_what_is_written_costs_the_same_however_large_the_tables_are(sql, writer, known_as):
    if known_as == "empty when it was vacuumed":
        await sql.execute("vacuum analyze")
        await write(writer, 0)
    await grow(sql)
    if known_as == "large":
        await sql.execute("vacuum analyze")

    plans = Plans()
    writer.add_log_listener(plans.hear)
    await writer.execute("load 'auto_explain'")
    for name, value in TOLD.items():
        await writer.execute(f"set {name} = '{value}'")
    await write(writer, 1)

    rows, step = plans.widest()
    assert 25 <= rows < 40 * PEOPLE, step
    assert any(node.get("Relation Name") == "messages" for node in plans.nodes()), "the functions' own statements"
