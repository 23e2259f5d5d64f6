"""The short reads are planned once, without their values: on large tables, lopsided ones too, each goes by an index."""

import asyncpg
import msgspec
import pytest

from messenger.apps.auth.store import accounts, sessions
from messenger.apps.messages import store
from messenger.db.database import GENERIC_PLANS

# Half of all messages in one chat, and the rest in many small ones; one reader in all of them.
FILL = """
    insert into users (id, name, name_key) select n, 'person ' || n, 'person ' || n from generate_series(1, 5000) n;
    insert into sessions (id, user_id, token_hash, expires_at)
        select n, n, sha256(n::text::bytea), now() + interval '1 day' from generate_series(1, 5000) n;
    insert into chats (id, kind, name, head_seq)
        select n, 'chat', 'chat ' || n, case n when 1 then 30000 else 30 end from generate_series(1, 9000) n;
    insert into members (chat_id, user_id, read_seq)
        select n, m, 20 from generate_series(1, 1001) n, generate_series(1, 20) m
          union select 1, n, 29900 from generate_series(21, 300) n;
    insert into messages (id, chat_id, seq, sender_id, text, key, body_hash, sent_at)
        select n, 1, n, n % 3000 + 1, 'words ' || n, 'i:' || n, 0, now() from generate_series(1, 30000) n;
    insert into messages (id, chat_id, seq, sender_id, text, key, body_hash, sent_at)
        select 30001 + n, n / 30 + 2, n % 30 + 1, 1, 'words ' || n, 'i:' || n, 0, now()
          from generate_series(0, 29999) n;
    insert into reactions (chat_id, message_id, emoji, user_id, at)
        select case when n > 30000 then (n - 30001) / 30 + 2 else 1 end, n, '!', 1, now()
          from generate_series(1, 60000, 3) n;
"""
BIG, SMALL = 1, 500
READS = {
    "chat": (store.CHAT, [(BIG,), (SMALL,)]),
    "names": (store.NAMES, [(BIG, [1, 2, 3]), (SMALL, [1])]),
    "messages": (
        store.MESSAGES,
        [
            ([BIG], [29_900], [1000], [7]),
            ([BIG, SMALL, BIG, BIG], [1, 1, 15_000, 29_900], [50, 50, 50, 50], [7, 1, None, 7]),
        ],
    ),
    "reactions": (store.REACTIONS, [(BIG, 100, 150), (SMALL, 100, 150)]),
    "current": (store.CURRENT, [([1, 2, 3],), ([45_000],)]),
    "own": (store.OWN, [(BIG, 100, 200, 7, 50), (SMALL, 1, 30, 1, 50)]),
    "by key": (store.BY_KEY, [(BIG, "i:77"), (SMALL, "i:77")]),
    "seq": (store.SEQ, [(77, BIG)]),
    "nearest": (store.NEAREST, [(77, BIG), (45_000, SMALL)]),
    "session by token": (sessions.BY_TOKEN.text, [(b"0" * 32,)]),
    "session by id": (sessions.BY_ID.text, [(77,)]),
    "profile": (accounts.PROFILE_OF.text, [(77,)]),
}


@pytest.fixture
async def connection(dsn, sql):
    async with sql.transaction():
        await sql.execute("set local session_replication_role = replica")
        await sql.execute(FILL)
    await sql.execute("analyze")
    connection = await asyncpg.connect(dsn, server_settings=GENERIC_PLANS)
    yield connection
    await connection.close()


BOUND = {"chat": 1_500, "by key": 1_500, "messages": 1_500, "own": 500}  # by members, and by the rows of a page


async def test_each_read_goes_by_an_index_and_reads_little_whatever_it_is_asked_for(connection):
    for number, (name, (statement, questions)) in enumerate(READS.items()):
        await connection.execute(f"prepare read_{number} as {statement}")
        for asked in questions:
            given = ", ".join(map(literal, asked))
            found = await connection.fetchval(
                f"explain (analyze, verbose, buffers, format json) execute read_{number}({given})"
            )
            (plan,) = msgspec.json.decode(found)
            assert "$1" in found or name == "nearest", f"{name} is planned anew each time"
            assert "Seq Scan" not in found, f"{name}({given})\n{found}"
            pages = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
            assert pages < BOUND.get(name, 100), f"{name}({given}) reads {pages}\n{found}"


def literal(value) -> str:
    if isinstance(value, list):
        return f"array[{', '.join(map(literal, value))}]"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'"
    return "null" if value is None else repr(value)
