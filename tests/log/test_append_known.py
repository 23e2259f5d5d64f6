"""Batches of those whom the process remembers: stored as any other, and refused where memory is wrong."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from messenger.log.entries import Entry
from messenger.log.known import HARMLESS, Known, Places, Seat
from messenger.log.recent import Recent
from messenger.log.tail import read_entry
from tests.log.test_append import FUNCTIONS, STATE, append, append_lone, numbers, positions
from tests.waits import SOMEBODY_WAITS

KNOWN_SQL = (FUNCTIONS / "log_append_known.sql").read_text()
LONE_SQL = (FUNCTIONS / "log_append_known_lone.sql").read_text()
APPEND_KNOWN_LONE = "select * from {}($1, $2, $3, $4, $5, $6, $7, null, $8, $9, $10)"
APPEND_KNOWN = "select * from {}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
EPOCH = "select epoch from log_head order by position desc limit 1"


class Memory:
    """The memory of a process that follows the log when it is told to."""

    def __init__(self, sql: asyncpg.Connection) -> None:
        self.sql = sql
        self.recent = Recent()
        self.known = Known(self.recent)
        self.recent.begin(0)
        self.known.begin(0)

    async def follow(self) -> None:
        rows = await self.sql.fetch("select * from log where position > $1 order by position", self.known.position)
        for entry in map(read_entry, rows):
            self.recent.note(entry)
            self.known.note(entry)

    def learn(self, row: Any, sends: Sequence[tuple[int, int, str, str]]) -> None:
        for one, status, name, seq, floor in zip(
            sends, row["s_status"], row["s_name"], row["s_seq"], row["s_floor"], strict=True
        ):
            if status == "new":
                self.known.learn((one[0], one[1], None), name, seq, floor, row["last"])

    async def send(self, *sends: tuple[int, int, str, str], function: str = "log_append_known") -> Any:
        """None: not all of them are known."""
        places = self.known.place(seats(sends))
        if places is None:
            return None
        row = await self.append(places, *sends, function=function)
        for one, name, seq in zip(sends, places.names, places.seqs, strict=True):
            self.known.learn((one[0], one[1], None), name, seq, None, row["last"])
        return row

    async def append(
        self, places: Places, *sends: tuple[int, int, str, str], function: str = "log_append_known"
    ) -> Any:
        epoch = await self.sql.fetchval(EPOCH)
        if function == "log_append_known_lone":
            return await self.sql.fetchrow(
                APPEND_KNOWN_LONE.format(function), self.known.position, epoch, *lone_arguments(places, sends[0])
            )
        return await self.sql.fetchrow(
            APPEND_KNOWN.format(function),
            self.known.position,
            epoch,
            HARMLESS,
            [one[0] for one in sends],
            [one[1] for one in sends],
            places.seqs,
            [one[2] for one in sends],
            [one[3] for one in sends],
            [None] * len(sends),
            places.markers,
            places.befores,
            places.floors,
            places.leaving,
        )


def lone_arguments(places: Places, send: tuple[int, int, str, str]) -> tuple[Any, ...]:
    chat_id, user_id, key, text = send
    numbers = places.markers[0], places.floors[0], places.leaving[0]
    return chat_id, user_id, places.seqs[0], key, text, *numbers


def seats(sends: Sequence[tuple[int, int, str, str]]) -> list[Seat]:
    return [(one[0], one[1], None) for one in sends]


async def a_chat(sql: asyncpg.Connection) -> int:
    chat_id = await sql.fetchval("insert into chats (name) values ('lunch') returning id")
    await sql.executemany("insert into members (chat_id, user_id) values ($1, $2)", [(chat_id, n) for n in (1, 2, 3)])
    return int(chat_id)


@pytest.fixture
async def chat(sql: asyncpg.Connection) -> int:
    await sql.execute("insert into users (id, name) overriding system value values (1, 'ann'), (2, 'bob'), (3, 'cid')")
    return await a_chat(sql)


@pytest.fixture
async def memory(sql: asyncpg.Connection, chat: int) -> Memory:
    """Of ann, who has spoken."""
    memory = Memory(sql)
    await speak(memory, (chat, 1, "c:0", "hello"))
    return memory


async def speak(memory: Memory, *sends: tuple[int, int, str, str]) -> None:
    memory.learn(await append(memory.sql, *sends), sends)
    await memory.follow()


async def test_batches_of_known_people_are_stored_as_if_the_tables_had_been_asked(sql, chat):
    """The same at random in two chats: from memory where it can be, and always by the tables. With marks in between, so
    that floors are held by many, by few, by the senders alone."""
    twin = await a_chat(sql)
    memory = Memory(sql)
    dice = random.Random(9)
    taken = [0, 0]
    for turn in range(250):
        if dice.random() < 0.4 and (newest := await sql.fetchval("select head_seq from chats where id = $1", chat)):
            reader, seq = dice.choice((1, 2, 3)), dice.randint(max(1, newest - 3), newest)
            for place in (chat, twin):
                message = await sql.fetchval("select id from messages where chat_id = $1 and seq = $2", place, seq)
                await append(sql, marks=[(place, reader, message)])
        else:
            said = [(dice.choice((1, 1, 2, 3)), f"i:{turn}.{n}", "words") for n in range(dice.choice((1, 1, 2, 4)))]
            row, is_lone = None, len(said) == 1 and dice.random() < 0.5
            with suppress(asyncpg.SerializationError):  # memory has not heard of what was said or read here
                function = "log_append_known_lone" if is_lone else "log_append_known"
                row = await memory.send(*((chat, *one) for one in said), function=function)
            taken[is_lone] += row is not None
            if row is None:
                sends = [(chat, *one) for one in said]
                lone = len(sends) == 1 and dice.random() < 0.5
                memory.learn(await (append_lone(sql, *sends[0]) if lone else append(sql, *sends)), sends)
            await append(sql, *((twin, *one) for one in said))
        if dice.random() < 0.7:  # sometimes it has not heard of the newest when it speaks
            await memory.follow()

        assert await sql.fetchrow(STATE, twin) == await sql.fetchrow(STATE, chat), turn

    assert min(taken) > 20
    assert await positions(sql) == list(range(1, await sql.fetchval("select max(position) from log_head") + 1))


async def test_what_others_said_meanwhile_elsewhere_does_no_harm(sql, chat, memory):
    other = await a_chat(sql)
    await append(sql, (other, 2, "c:1", "elsewhere"), (other, 3, "c:2", "too"))

    row = await memory.send((chat, 1, "c:1", "pizza?"))

    assert row["last"] == 4
    assert await sql.fetchval("select head_id from chats where id = $1", chat) == 4
    assert await positions(sql) == [1, 2, 3, 4]


async def test_what_others_said_in_the_same_chat_sends_the_batch_the_other_way(sql, chat, memory):
    await append(sql, (chat, 2, "c:1", "me first"))

    with pytest.raises(asyncpg.SerializationError):
        await memory.send((chat, 1, "c:1", "pizza?"))

    assert await numbers(sql, chat) == [1, 2]


async def test_a_key_that_is_there_already_stores_nothing(sql, chat, memory):
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await memory.send((chat, 1, "c:new", "pizza?"), (chat, 1, "c:0", "hello"))

    assert refused.value.constraint_name == "messages_key_idx", "the sender relies on this name"
    assert await numbers(sql, chat) == [1]


UNHEARD = """
    insert into log_entries (position, kind, topic_chat, topic_user, at)
    select last, '{}', {}, {}, now() from log_take(1)
"""
# What memory has wrong, or has not heard of; and the guard without which it would be stored.
LIES = {
    "a number that is left out": ("places.seqs[0] += 1; places.befores[0] += 1", "c.head_seq = x.before and "),
    "a marker": ("places.markers[0] -= 1", " and m.read_seq = x.marker"),
    "a floor": ("places.floors[0] += 1", "c.floor_seq = x.floor and "),
    "that somebody stays on the floor": ("places.leaving[0] += 2", " and c.floor_count > x.leaving"),
    "a chat that is deleted": ("update chats set deleted_at = 1", "\n       and c.deleted_at is null"),
    "a member who is gone": (
        "alter table members disable trigger user; delete from members where user_id = 1",
        " or members_right < cardinality(array_remove(s_marker, null))",
    ),
    "a session that has ended": (
        UNHEARD.format("session_revoked", "null", 1),
        "exists (select from log_entries e where e.position > at_position and e.kind <> all (harmless))"
        "\n           or ",
    ),
    "what was pruned before it was heard of": (
        "update log_kept set after_position = (select last from log_take(1))",
        "\n           or exists (select from log_kept k where k.after_position > at_position)",
    ),
    "the epoch": ("update log_head set epoch = 'x'", "taken.epoch <> at_epoch or "),
}
LONE_LIES = {
    "a number that is left out": ("places.seqs[0] += 1", "c.head_seq = the_seq - 1 and "),
    "a marker": ("places.markers[0] -= 1", " and m.read_seq = the_marker"),
    "a floor": ("places.floors[0] += 1", "c.floor_seq = the_floor and "),
    "that somebody stays on the floor": ("places.leaving[0] += 2", " and c.floor_count > leaving"),
    "a chat that is deleted": LIES["a chat that is deleted"],
    "a member who is gone": (LIES["a member who is gone"][0], " or not member_is_right"),
    "a session that has ended": (LIES["a session that has ended"][0], " or last <> at_position + 1"),
    "the epoch": LIES["the epoch"],
}


@pytest.mark.parametrize(("lie", "is_lone"), [*((lie, False) for lie in LIES), *((lie, True) for lie in LONE_LIES)])
async def test_what_memory_has_wrong_is_refused_and_without_its_guard_it_is_stored(sql, chat, memory, lie, is_lone):
    (how, guard), script = (LONE_LIES[lie], LONE_SQL) if is_lone else (LIES[lie], KNOWN_SQL)
    function = "log_append_known_lone" if is_lone else "log_append_known"
    assert script.count(guard) == 1
    await sql.execute(script.replace(guard, "").replace(function, "log_append_unguarded"))
    places = memory.known.place([(chat, 1, None)])
    assert places is not None
    epoch = await sql.fetchval(EPOCH)
    if how.startswith("places"):
        exec(how)  # noqa: S102  (a line of the table above)
    else:
        await sql.execute(how)

    async def attempt(name: str) -> Any:
        if is_lone:
            arguments = lone_arguments(places, (chat, 1, "c:1", "pizza?"))
            return await sql.fetchrow(APPEND_KNOWN_LONE.format(name), memory.known.position, epoch, *arguments)
        return await sql.fetchrow(
            APPEND_KNOWN.format(name),
            *(memory.known.position, epoch, HARMLESS, [chat], [1], places.seqs, ["c:1"], ["pizza?"], [None]),
            *(places.markers, places.befores, places.floors, places.leaving),
        )

    with pytest.raises((asyncpg.SerializationError, asyncpg.AssertError)):
        await attempt(function)
    assert await numbers(sql, chat) == [1]
    assert (await attempt("log_append_unguarded"))["last"] is not None


async def test_a_name_is_taken_from_memory_until_its_change_is_heard_of(sql, chat, memory):
    """The entry of the change is what keeps it right: looked for by the function, and noted by memory."""
    async with sql.transaction():
        await sql.execute("update members set name = 'annie' where user_id = 1")
        await sql.execute(UNHEARD.format("member_changed", chat, "null"))

    with pytest.raises(asyncpg.SerializationError):
        await memory.send((chat, 1, "c:1", "pizza?"))
    memory.known.note(Entry(2, "member_changed", chat))
    assert memory.known.place([(chat, 1, None)]) is None


# --- rows that somebody changes in SQL, without an entry

BY_HAND = {
    "a person's name": "update users set name = 'anne' where id = 1",
    "a name for this chat": "update members set name = 'annie' where user_id = 1",
    "a member": "delete from members where user_id = 1",
    "an open session": "update sessions set ended_at = now() where id = 5",
    "a session's row": "delete from sessions where id = 5",
}
WITH_SESSION = """
    insert into sessions (id, user_id, token_hash, expires_at) overriding system value
    values (5, 1, 'x', now() + interval '1 day')
"""


@pytest.mark.parametrize("what", BY_HAND)
async def test_what_is_changed_by_hand_is_heard_of_like_anything_else(sql, chat, memory, what):
    await sql.execute(WITH_SESSION)

    await sql.execute(BY_HAND[what])

    entry = await sql.fetchrow("select * from log where position = 2")
    assert (entry["kind"], entry["topic_chat"], entry["topic_user"]) == ("changed_by_hand", None, None)
    with pytest.raises((asyncpg.SerializationError, asyncpg.AssertError)):
        await memory.send((chat, 1, "c:1", "pizza?"))
    await memory.follow()
    assert memory.known.place([(chat, 1, None)]) is None
    assert memory.recent.of_chat(chat) == 2, "pages that are kept do not count any more either"


async def test_many_rows_by_hand_are_one_entry_and_what_changes_no_right_is_none(sql, chat):
    await sql.execute(WITH_SESSION)
    await sql.execute("update users set about = name; update members set read_seq = 0; update users set name = name")
    await sql.execute("update sessions set last_seen_at = now(), expires_at = now() - interval '40 days'")
    await sql.execute("delete from sessions")
    assert await positions(sql) == []

    await sql.execute("update users set name = name || '!'; delete from members")

    assert await positions(sql) == [1]


async def test_a_transaction_that_writes_to_the_log_itself_gets_no_second_position(sql, chat):
    async with sql.transaction():
        await sql.execute("delete from members where user_id = 1")
        await sql.execute(
            "select log_emit(array['member_removed'], array[$1::bigint], '{1}', '{null}', '{null}', '{null}')",
            chat,
        )

    assert [row["kind"] for row in await sql.fetch("select kind from log")] == ["member_removed"]


async def test_by_hand_and_a_batch_that_wait_for_each_others_rows_do_not_deadlock(sql, chat, memory, dsn):
    """The head is the last lock of both: whoever holds it waits for no row."""
    other = await asyncpg.connect(dsn)
    by_hand = other.transaction()
    await by_hand.start()
    await other.execute("update members set name = 'annie' where user_id = 1")

    batch = asyncio.create_task(memory.send((chat, 1, "c:1", "pizza?")))
    await waits_for_a_lock(other)
    await by_hand.commit()

    with pytest.raises(asyncpg.SerializationError):
        await batch
    await other.close()


async def waits_for_a_lock(connection: asyncpg.Connection) -> None:
    while not await connection.fetchval(SOMEBODY_WAITS):
        await asyncio.sleep(0.01)
