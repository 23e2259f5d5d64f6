"""The functions that write the log, asked directly: order, keys, floors, and what happens without a guard."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from messenger.log.appender import PLANS
from tests.waits import SOMEBODY_WAITS

FUNCTIONS = Path(__file__).parents[2] / "messenger/db/functions"
BATCH_SQL, LONE_SQL, TAKE_SQL = (
    (FUNCTIONS / f"{name}.sql").read_text() for name in ("log_append", "log_append_lone", "log_take")
)


@pytest.fixture
async def chat(sql: asyncpg.Connection) -> int:
    """A chat of three people, 1 to 3, whose rows were put in by hand."""
    await sql.execute("insert into users (id, name) overriding system value values (1, 'ann'), (2, 'bob'), (3, 'cid')")
    chat_id = await sql.fetchval("insert into chats (name) values ('lunch') returning id")
    await sql.executemany("insert into members (chat_id, user_id) values ($1, $2)", [(chat_id, n) for n in (1, 2, 3)])
    return chat_id


@pytest.fixture
async def writers(dsn: str) -> AsyncIterator[list[asyncpg.Connection]]:
    connections = [await asyncpg.connect(dsn) for _ in range(6)]
    yield connections
    for connection in connections:
        await connection.close()


async def append(connection, *sends, marks=(), copies=None, function="log_append", window=300):
    """`sends`: (chat, sender, key, text[, operation]); `marks`: (chat, reader, message)."""
    return await connection.fetchrow(
        f"select * from {function}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, make_interval(secs => $12), $13)",
        [one[0] for one in sends],
        [one[1] for one in sends],
        [None] * len(sends),
        [one[2] for one in sends],
        [one[4] if len(one) > 4 else None for one in sends],
        [one[3] for one in sends],
        [None] * len(sends),
        [one[0] for one in marks],
        [one[1] for one in marks],
        [None] * len(marks),
        [one[2] for one in marks],
        window,
        copies,
    )


async def append_lone(connection, chat_id, sender, key, text, *, session=None, copy=None, function="log_append_lone"):
    return await connection.fetchrow(
        f"select * from {function}($1, $2, $3, $4, $5, $6)", chat_id, sender, session, key, text, copy
    )


async def numbers(sql: asyncpg.Connection, chat_id: int) -> list[int]:
    return [row["seq"] for row in await sql.fetch("select seq from messages where chat_id = $1 order by seq", chat_id)]


async def positions(sql: asyncpg.Connection) -> list[int]:
    return [row["position"] for row in await sql.fetch("select position from log order by position")]


async def test_a_batch_keeps_the_order_of_its_drafts(sql, chat):
    row = await append(sql, *[(chat, 1, f"i:{n}", f"words {n}") for n in range(20)])

    assert row["s_status"] == ["new"] * 20
    assert row["s_seq"] == list(range(1, 21))
    stored = await sql.fetch("select id, text from messages order by id")
    assert [(one["id"], one["text"]) for one in stored] == [(n + 1, f"words {n}") for n in range(20)]


async def test_one_bad_draft_fails_alone(sql, chat):
    await sql.execute("insert into users (id, name) overriding system value values (9, 'mallory')")

    row = await append(
        sql, (chat, 1, "i:1", "a"), (chat, 9, "i:2", "b"), (chat + 1, 1, "i:3", "c"), (chat, 2, "i:4", "d")
    )

    assert row["s_status"] == ["new", "chat-not-found", "chat-not-found", "new"]
    assert row["s_seq"] == [1, None, None, 2]
    assert await positions(sql) == [1, 2]


async def test_a_key_that_comes_twice_in_a_batch_stores_nothing(sql, chat):
    """The caller prevents that; if not, the index does."""
    with pytest.raises(asyncpg.UniqueViolationError):
        await append(sql, (chat, 1, "c:k", "a"), (chat, 1, "c:k", "a"))

    assert await numbers(sql, chat) == []


async def test_what_a_batch_reads_does_not_grow_with_the_installation(sql, chat):
    """A plan that walks all chats or members is quick in a small database only."""
    await sql.execute("insert into chats (name) select 'other' from generate_series(1, 2000)")
    await sql.execute("insert into members (chat_id, user_id) select id, 1 from chats on conflict do nothing")
    await sql.execute(
        "insert into messages (chat_id, seq, id, sender_id, key, body_hash, text, sent_at)"
        " select $1, n, -n, 1, 'x' || n, 0, '', now() from generate_series(1, 2000) n",
        chat + 1,
    )
    for name, value in PLANS.items():
        await sql.execute(f"set {name} = '{value}'")

    sends = [(chat, 1 + n % 2, f"c:{n}", "words", *([n] if n == 3 else [])) for n in range(10)]
    async with sql.transaction():
        before = dict(await sql.fetch(TOUCHED))
        await append(sql, *sends, marks=[(chat + 1, 1, -5), (chat + 1, 1, -7)])
        after = dict(await sql.fetch(TOUCHED))

    touched = {table: after[table] - before.get(table, 0) for table in after}
    assert touched["chats"] > 0 and touched["members"] > 0
    assert all(rows < 300 for rows in touched.values()), touched


TOUCHED = """
    select relname, seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables
     where relname in ('chats', 'members', 'messages', 'users', 'sessions')
"""


STATE = """
    select c.head_seq, c.floor_seq, c.floor_count, c.read_seq, c.head_id = max(g.id) as points_to_its_last,
           array(select m.read_seq from members m where m.chat_id = c.id order by m.user_id) as marks,
           array_agg((g.seq, g.sender_id, g.key, g.body_hash, g.text)::text order by g.seq) as messages
      from chats c left join messages g on g.chat_id = c.id where c.id = $1 group by c.id
"""


async def test_a_lone_message_is_stored_and_answered_as_in_a_batch_of_one(sql, chat):
    """The same at random in two chats, by the one function and by the other: sends, copies, conflicts, strangers, ended
    sessions, and marks in between, so that floors are held by many, by few, by the sender alone."""
    await sql.execute("insert into users (id, name) overriding system value values (9, 'mallory')")
    twin = await sql.fetchval("insert into chats (name) values ('lunch') returning id")
    await sql.executemany("insert into members (chat_id, user_id) values ($1, $2)", [(twin, n) for n in (1, 2, 3)])
    ended = await sql.fetchval(
        "insert into sessions (user_id, token_hash, expires_at, ended_at)"
        " values (1, 'x', now() + interval '1 day', now()) returning id"
    )
    dice = random.Random(8)
    met = set()
    for turn in range(300):
        if dice.random() < 0.3 and (newest := await sql.fetchval("select head_seq from chats where id = $1", chat)):
            reader, seq = dice.choice((1, 2, 3)), dice.randint(1, newest)
            for place in (chat, twin):
                message = await sql.fetchval("select id from messages where chat_id = $1 and seq = $2", place, seq)
                await append(sql, marks=[(place, reader, message)])
            continue
        sender = dice.choice((1, 1, 1, 2, 3, 9))
        key = f"c:{dice.randint(0, 9)}" if dice.random() < 0.2 else f"i:{turn}"
        text, session = dice.choice(("yes", "no")), ended if dice.random() < 0.05 else None
        batch = await sql.fetchrow(
            "select * from log_append($1, $2, $3, $4, '{null}', $5, '{null}', '{}', '{}', '{}', '{}', interval '0')",
            *([chat], [sender], [session], [key], [text]),
        )
        lone = await append_lone(sql, twin, sender, key, text, session=session)

        for told in ("s_status", "e_kind"):
            assert lone[told] == batch[told], (turn, told)
        if batch["s_status"][0] in ("new", "replayed"):
            assert (lone["s_seq"], lone["s_name"]) == (batch["s_seq"], batch["s_name"]), turn
        assert await sql.fetchrow(STATE, twin) == await sql.fetchrow(STATE, chat), turn
        met |= {batch["s_status"][0], *(batch["e_kind"] or ())}

    verdicts = {"new", "replayed", "idempotency-conflict", "chat-not-found", "session-revoked"}
    assert met == verdicts | {"message_read_by_all"}, "each of them came up"
    end = await sql.fetchval("select max(position) from log_head")
    assert await positions(sql) == list(range(1, end + 1))


async def test_a_lone_message_to_a_chat_that_is_deleted_or_never_was_is_refused(sql, chat):
    await sql.execute("update chats set deleted_at = 1 where id = $1", chat)

    deleted, unknown = [await append_lone(sql, place, 1, "i:1", "words") for place in (chat, chat + 1)]

    assert deleted["s_status"] == unknown["s_status"] == ["chat-not-found"]
    assert deleted["last"] is None is unknown["last"] and await positions(sql) == []


async def test_an_operation_is_remembered_for_its_window_only(sql, chat):
    first = await append(sql, (chat, 1, "i:1", "a", 7), window=0.3)
    again = await append(sql, (chat, 1, "i:2", "a", 7), window=0.3)
    other = await append(sql, (chat, 1, "i:3", "b", 7), window=0.3)
    await sql.execute("update messages set sent_at = sent_at - interval '1 second'")
    later = await append(sql, (chat, 1, "i:4", "b", 7), window=0.3)

    verdicts = [row["s_status"][0] for row in (first, again, other, later)]
    assert verdicts == ["new", "replayed", "idempotency-conflict", "new"]
    assert later["s_seq"] == [2]


async def test_what_was_stored_before_tells_which_copy_of_it_that_was(sql, chat):
    await append(sql, (chat, 1, "c:k", "a"), copies=[11])
    await append(sql, (chat, 1, "i:1", "b", 7), copies=[12])
    await append_lone(sql, chat, 1, "c:l", "c", copy=13)
    await append(sql, (chat, 1, "i:plain", "d"))

    again = await append(
        sql,
        *[(chat, 1, "c:k", "a"), (chat, 1, "i:2", "b", 7), (chat, 1, "c:l", "c"), (chat, 1, "i:plain", "d")],
        copies=[21, 22, 23, None],
    )
    alone = await append_lone(sql, chat, 1, "c:k", "a", copy=31)

    assert again["s_status"] == ["replayed"] * 4
    assert again["s_stored_by"] == [11, 12, 13, None]
    assert (alone["s_status"], alone["s_stored_by"]) == (["replayed"], [11])


async def test_a_retry_is_recognised_after_an_edit(sql, chat):
    await append(sql, (chat, 1, "c:k", "first words"))
    await sql.execute("update messages set text = 'other words', edited_at = now()")

    row = await append(sql, (chat, 1, "c:k", "first words"))

    assert row["s_status"] == ["replayed"]


async def test_an_ended_session_sends_and_reads_nothing(sql, chat):
    session = await sql.fetchval(
        "insert into sessions (user_id, token_hash, expires_at, ended_at)"
        " values (1, 'x', now() + interval '1 day', now()) returning id"
    )
    row = await sql.fetchrow(
        "select * from log_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, interval '5 min')",
        *([chat], [1], [session], ["i:1"], [None], ["a"], [None], [chat], [1], [session], [1]),
    )

    assert row["s_status"] == ["session-revoked"] == row["r_status"]
    assert await positions(sql) == []


async def test_markers_never_go_back_and_everybody_has_read_is_said_once(sql, chat):
    await append(sql, *[(chat, 1, f"i:{n}", "words") for n in range(4)])
    ids = [row["id"] for row in await sql.fetch("select id from messages order by seq")]

    both = await append(sql, marks=[(chat, 2, ids[1]), (chat, 3, ids[3])])
    back = await append(sql, marks=[(chat, 3, ids[0])])
    rest = await append(sql, marks=[(chat, 2, ids[3])])
    again = await append(sql, marks=[(chat, 2, ids[3])])

    assert both["e_kind"] == ["message_read", "message_read_by_all"]
    assert '"from_seq": 1' in both["e_data"][1] and '"to_seq": 2' in both["e_data"][1]
    assert back["e_kind"] is None and back["last"] is None, "nothing moved, so nothing is written"
    assert rest["e_kind"] == ["message_read", "message_read_by_all"]
    assert '"from_seq": 3' in rest["e_data"][1] and '"to_seq": 4' in rest["e_data"][1]
    assert again["last"] is None
    assert await sql.fetchval("select read_seq from chats") == 4


@pytest.mark.parametrize("is_lone", [True, False])
async def test_who_is_removed_by_hand_while_a_batch_waits_says_nothing_after_it(sql, chat, writers, is_lone):
    """A server removes members under the chat's lock, somebody at psql does not: the batch is to be tried again."""
    remover, writer = writers[:2]
    async with remover.transaction():
        await remover.execute("delete from members where user_id = 1")
        send = append_lone(writer, chat, 1, "i:1", "words") if is_lone else append(writer, (chat, 1, "i:1", "words"))
        sending = asyncio.create_task(send)
        while not await sql.fetchval(SOMEBODY_WAITS):
            await asyncio.sleep(0)

    with pytest.raises(asyncpg.SerializationError):
        await sending
    assert await numbers(sql, chat) == []


async def hammer(writers, chat, function="log_append", rounds=25):
    """Everybody sends at once, each batch with a key that all of them use."""

    async def work(n: int, connection: asyncpg.Connection) -> None:
        for turn in range(rounds):
            await append(
                connection, (chat, 1, f"c:shared{turn}", "same"), (chat, 2, f"i:{n}.{turn}", "own"), function=function
            )

    return await asyncio.gather(*(work(n, one) for n, one in enumerate(writers)), return_exceptions=True)


async def test_six_writers_make_one_order_without_holes_or_copies(sql, chat, writers):
    failures = [one for one in await hammer(writers, chat) if one is not None]

    assert failures == []
    assert await numbers(sql, chat) == list(range(1, 25 + 6 * 25 + 1))
    assert await positions(sql) == list(range(1, 25 + 6 * 25 + 1))


async def hammer_alone(writers, chat, function="log_append_lone", rounds=40):
    async def work(n: int, connection: asyncpg.Connection) -> None:
        for turn in range(rounds):
            sender, key = (1, f"c:shared{turn}") if turn % 2 else (1 + n % 2, f"i:{n}.{turn}")
            await append_lone(connection, chat, sender, key, "words", function=function)

    return await asyncio.gather(*(work(n, one) for n, one in enumerate(writers)), return_exceptions=True)


async def test_lone_messages_of_six_writers_make_one_order_and_without_the_lock_they_break_it(sql, chat, writers):
    unguarded = LONE_SQL.replace("and c.deleted_at is null for no key update;", "and c.deleted_at is null;")
    assert unguarded != LONE_SQL
    await sql.execute(unguarded.replace("log_append_lone", "log_append_lone_unguarded"))

    assert [one for one in await hammer_alone(writers, chat) if one is not None] == []
    stored = await numbers(sql, chat)
    assert stored == list(range(1, len(stored) + 1)) and await positions(sql) == stored
    assert len(stored) == 6 * 20 + 20, "each of its own, and one of what all of them sent"

    other = await sql.fetchval("insert into chats (name) values ('dinner') returning id")
    await sql.executemany("insert into members (chat_id, user_id) values ($1, $2)", [(other, n) for n in (1, 2, 3)])
    failures = [one for one in await hammer_alone(writers, other, "log_append_lone_unguarded") if one is not None]
    assert failures, "two of them met in one number or one key"


async def test_without_the_lock_of_the_chat_the_same_writers_break_it(sql, chat, writers):
    """The guard is what makes the test above true: taken out, it fails."""
    unguarded = re.sub(r"perform 1 from chats c where.*?for no key update;", "", BATCH_SQL, count=1, flags=re.S)
    assert "no key update" not in unguarded
    await sql.execute(unguarded.replace("log_append", "log_append_unguarded"))

    failures = [one for one in await hammer(writers, chat, "log_append_unguarded") if one is not None]

    assert failures, "two of them met in one number or one key"


async def test_without_the_lock_of_the_head_positions_collide(sql, chat, writers):
    second = await sql.fetchval("insert into chats (name) values ('dinner') returning id")
    await sql.executemany("insert into members (chat_id, user_id) values ($1, $2)", [(second, n) for n in (1, 2)])
    await sql.execute(
        TAKE_SQL.replace("perform pg_advisory_xact_lock(7236837);", "").replace(
            "last := newest.position + n;", "perform pg_sleep(0.002); last := newest.position + n;"
        )
    )

    async def work(n: int, connection: asyncpg.Connection) -> None:
        for turn in range(25):
            await append(connection, (chat if n % 2 else second, 1, f"i:{n}.{turn}", "words"))

    outcome = await asyncio.gather(*(work(n, one) for n, one in enumerate(writers)), return_exceptions=True)

    assert any(isinstance(one, asyncpg.UniqueViolationError) for one in outcome)


async def test_who_has_read_a_position_never_finds_an_earlier_one_later(dsn, sql, chat, writers):
    seen: dict[int, int] = {}
    done = asyncio.Event()

    async def read() -> None:
        connection = await asyncpg.connect(dsn)
        while not done.is_set():
            known = await connection.fetch("select position from log order by position")
            count, last = len(known), known[-1]["position"] if known else 0
            seen[last] = count
            assert count == last, "a hole was visible"
        await connection.close()

    reader = asyncio.create_task(read())
    await hammer(writers, chat)
    done.set()
    await reader

    assert len(seen) > 5, "it was read during the writing"


async def test_the_log_is_not_written_at_another_isolation_level(sql, chat):
    with pytest.raises(asyncpg.RaiseError, match="read committed"):
        async with sql.transaction(isolation="repeatable_read"):
            await append(sql, (chat, 1, "i:1", "words"))


async def test_a_send_inside_a_strangers_transaction_happens_when_it_commits_and_only_then(sql, chat, dsn):
    stranger = await asyncpg.connect(dsn)
    async with stranger.transaction():
        await stranger.execute("create table orders (id int)")
        await stranger.execute("select messenger.send($1, 1, 'your order is on its way', 'order-1')", chat)
        assert await sql.fetchval("select log_drain_inbox(100)") is None
        row = await append(sql, (chat, 2, "i:1", "nobody waits for the stranger"))
        assert row["s_status"] == ["new"]

    assert await sql.fetchval("select log_drain_inbox(100)") == 2
    assert await sql.fetchval("select log_drain_inbox(100)") is None
    found = await sql.fetch("select text, key from messages order by seq")
    assert [tuple(row) for row in found] == [
        ("nobody waits for the stranger", "i:1"),
        ("your order is on its way", "c:order-1"),
    ]

    rolled_back = stranger.transaction()
    await rolled_back.start()
    await stranger.execute("select messenger.send($1, 1, 'never', 'order-2')", chat)
    await rolled_back.rollback()
    assert await sql.fetchval("select log_drain_inbox(100)") is None
    await stranger.close()


async def test_takers_at_once_take_each_draft_once(sql, chat, writers):
    for n in range(50):
        await sql.execute("select messenger.send($1, 1, $2)", chat, f"draft {n}")

    for _ in range(10):
        await asyncio.gather(*(one.fetchval("select log_drain_inbox(10)") for one in writers))

    assert [row["text"] for row in await sql.fetch("select text from messages order by seq")] == [
        f"draft {n}" for n in range(50)
    ]


async def test_a_draft_refused_by_then_is_kept_with_its_reason_and_stops_nobody(sql, chat):
    await sql.execute("select messenger.send($1, 3, 'from somebody who leaves')", chat)
    await sql.execute("select messenger.send(999, 1, 'to nowhere')")
    await sql.execute("select messenger.send($1, 1, 'fine')", chat)
    await sql.execute("delete from members where user_id = 3")

    await sql.fetchval("select log_drain_inbox(100)")

    assert [row["reason"] for row in await sql.fetch("select reason from inbox_refused")] == ["chat-not-found"] * 2
    assert [row["text"] for row in await sql.fetch("select text from messages")] == ["fine"]


async def test_a_locked_chat_keeps_only_its_own_drafts_waiting(sql, chat, dsn):
    free = await sql.fetchval("insert into chats (name) values ('free') returning id")
    await sql.execute("insert into members (chat_id, user_id) values ($1, 1)", free)
    stranger = await asyncpg.connect(dsn)
    hold = stranger.transaction()
    await hold.start()
    await stranger.execute("select 1 from chats where id = $1 for update", chat)
    await sql.execute("select messenger.send($1, 1, 'waits')", chat)
    await sql.execute("select messenger.send($1, 1, 'goes')", free)

    await sql.fetchval("select log_drain_inbox(100)")
    assert [row["text"] for row in await sql.fetch("select text from messages")] == ["goes"]

    await hold.rollback()
    await sql.fetchval("select log_drain_inbox(100)")
    assert await sql.fetchval("select count(*) from messages") == 2
    await stranger.close()


@pytest.mark.parametrize(
    ("words", "key"), [("", None), ("   ", None), ("x" * 4097, None), ("fine", ""), ("fine", "k" * 65)]
)
async def test_what_could_never_be_sent_is_refused_in_the_strangers_transaction(words, key, sql, chat):
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await sql.execute("select messenger.send($1, 1, $2, $3)", chat, words, key)


async def test_pruning_moves_the_mark_and_leaves_messages(sql, chat):
    await append(sql, *[(chat, 1, f"i:{n}", "words") for n in range(3)])
    await append(sql, marks=[(chat, 2, 3)])
    await append(sql, (chat, 1, "i:9", "later"))
    epoch = await sql.fetchval("select epoch from log_head order by position desc limit 1")
    assert await sql.fetchval("select log_cursor_is_good($1, 3)", epoch)
    await sql.execute("update log_entries set at = at - interval '31 days'")

    gone = await sql.fetchval("select log_prune(now() - interval '30 days', 10)")

    assert gone == 1
    assert await sql.fetchval("select after_position from log_kept") == 4
    assert not await sql.fetchval("select log_cursor_is_good($1, 3)", epoch)
    assert await sql.fetchval("select log_cursor_is_good($1, 4)", epoch)
    assert len(await numbers(sql, chat)) == 4


async def test_cursors_across_epochs(sql, chat):
    await append(sql, *[(chat, 1, f"i:{n}", "words") for n in range(5)])
    old = await sql.fetchval("select epoch from log_head order by position desc limit 1")
    await sql.execute("update log_head set origin = 'another server'")  # as after a promotion or a restore

    row = await append(sql, (chat, 1, "i:9", "words"))

    assert row["epoch"] != old
    good = [await sql.fetchval("select log_cursor_is_good($1, $2)", old, n) for n in (0, 5, 6)]
    assert good == [True, True, False]
    good = [await sql.fetchval("select log_cursor_is_good($1, $2)", row["epoch"], n) for n in (5, 6, 7)]
    assert good == [True, True, False]
    assert not await sql.fetchval("select log_cursor_is_good('nobody', 0)")


async def test_the_first_number_after_a_position_is_found_in_any_mixture_of_chats(sql, chat):
    other = await sql.fetchval("insert into chats (name) values ('other') returning id")
    await sql.execute("insert into members (chat_id, user_id) values ($1, 1)", other)
    for n in range(40):
        await append(sql, *[(chat if (n * i) % 3 else other, 1, f"i:{n}.{i}", "words") for i in range(1, 4)])

    head = await sql.fetchrow("select head_seq, head_id from chats where id = $1", chat)
    for position in range(0, 121):
        found = await sql.fetchval("select log_first_after($1, $2, $3, $4)", chat, *head, position)
        true = await sql.fetchval("select min(seq) from messages where chat_id = $1 and id > $2", chat, position)
        assert found == (true or head["head_seq"] + 1)
