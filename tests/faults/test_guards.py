"""The locks that order everything, proven both ways: with them the race is harmless, without them it does its harm.

The functions are taken from the migrated database, the one line is taken out, and both run against the same race.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import pytest

from messenger.db.schema import upgrade
from proof.lab.cluster import Cluster
from proof.lab.processes import Process

HEAD_LOCK = "perform pg_advisory_xact_lock(7236837);"
CHAT_LOCK = "perform 1 from chats c where c.id = any (s_chat || r_chat) order by c.id for no key update;"
SEND = """
    select s_status[1] as status, s_id[1] as id, s_seq[1] as seq, last
      from {function}(array[$1::bigint], array[$2::bigint], array[null::bigint], array[$3::text], array[$4::smallint],
                      array['pizza?'], array[null::bigint], '{{}}', '{{}}', '{{}}', '{{}}', $5)
"""
WINDOW = timedelta(minutes=5)


@dataclass
class Rig:
    """Ten connections to one database in which a chat is about to be written to."""

    connections: list[asyncpg.Connection]
    look: asyncpg.Connection
    chat: int
    sender: int

    async def rewrite(self, function: str, old: str, new: str) -> str:
        """The same function in the schema `naive`, but for one place."""
        code = await self.look.fetchval("select pg_get_functiondef($1::regproc)", function)
        assert code.count(old) == 1, f"{function} has no single {old!r}"
        code = code.replace(old, new).replace(f"public.{function}(", f"naive.{function}(", 1)
        await self.look.execute(f"create schema if not exists naive; {code}")
        return f"naive.{function}"

    async def send(self, connection: asyncpg.Connection, function: str, key: str, operation: int | None = None) -> str:
        try:
            row = await connection.fetchrow(
                SEND.format(function=function), self.chat, self.sender, key, operation, WINDOW, timeout=20
            )
        except asyncpg.UniqueViolationError:
            return "broken"
        return str(row["status"])

    async def race(self, function: str, key: str | None, operation: int | None = None) -> list[str]:
        """Everybody has looked for the key before anybody writes: a stranger holds the head until then."""
        async with self.look.transaction():
            await self.look.execute(f"select {HEAD_LOCK.removeprefix('perform ')}")
            sends = [
                asyncio.create_task(self.send(connection, function, key or f"i:{function}{number}", operation))
                for number, connection in enumerate(self.connections)
            ]
            while await self.look.fetchval(WAITING) < len(self.connections):
                await asyncio.sleep(0.01)
        return list(await asyncio.gather(*sends))

    async def rows(self) -> list[int]:
        found = await self.look.fetch("select seq from messages where chat_id = $1 order by seq", self.chat)
        return [row["seq"] for row in found]


WAITING = """
    select count(*) from pg_stat_activity
     where datname = current_database() and application_name = 'racer' and wait_event_type = 'Lock'
"""


@pytest.fixture
async def rig(cluster: Cluster, pair: tuple[Process, Process]) -> AsyncIterator[Rig]:
    """In a database of its own, so that nothing broken here is ever served."""
    async with AsyncExitStack() as stack:

        async def connect(database: str = "racing") -> asyncpg.Connection:
            settings = {"application_name": "racer"}
            found = await asyncpg.connect(
                cluster.dsn, database=database, server_settings=settings, statement_cache_size=0
            )
            stack.callback(found.terminate)
            return found

        door = await connect("messenger")
        await door.execute("drop database if exists racing with (force)")
        await door.execute("create database racing")
        await asyncio.to_thread(upgrade, cluster.dsn.replace("/messenger?", "/racing?"))
        rig = Rig([await connect() for _ in range(10)], await connect(), chat=1, sender=1)
        await rig.look.execute("insert into users (name, name_key) values ('racer', 'racer')")
        await rig.look.execute("insert into chats (name) values ('lunch')")
        await rig.look.execute("insert into members (chat_id, user_id) values (1, 1)")
        yield rig
        for connection in (rig.look, *rig.connections):
            connection.terminate()
        await door.execute("drop database racing with (force)")


@pytest.mark.parametrize(("key", "operation"), [("c:lunch", None), (None, 7)], ids=["client_id", "operation_id"])
async def test_the_chats_lock_makes_copies_one_message_and_without_it_they_break(
    rig: Rig, key: str | None, operation: int | None
) -> None:
    naive = await rig.rewrite("log_append", CHAT_LOCK, "")

    guarded = await rig.race("log_append", key, operation)
    assert sorted(guarded) == ["new"] + ["replayed"] * 9
    assert await rig.rows() == [1]

    await rig.look.execute("delete from messages where chat_id = $1", rig.chat)
    await rig.look.execute("update chats set head_seq = 0, head_id = 0 where id = $1", rig.chat)
    broken = await rig.race(naive, key, operation)
    assert broken.count("broken") == 9, "nine of them dealt a number that was dealt already"


async def test_the_heads_lock_keeps_positions_apart_and_in_order_and_without_it_a_reader_loses_entries(
    rig: Rig,
) -> None:
    """One writes two entries and is slow to commit, another writes a message meanwhile."""
    await rig.rewrite("log_take", HEAD_LOCK, "")
    for function in ("log_emit", "log_append"):
        await rig.rewrite(function, " log_take(", " naive.log_take(")

    assert await loses(rig, "public") == []
    assert await loses(rig, "naive") != []


async def loses(rig: Rig, schema: str) -> list[int]:
    """What a reader that stores the head it has seen never gets to know."""
    slow, quick = rig.connections[:2]
    before = await rig.look.fetchval("select max(position) from log_head")
    async with slow.transaction():
        await slow.execute(f"select {schema}.log_emit('{{chat_changed,chat_changed}}', array[$1::bigint,$1],"
                           " '{null,null}', '{null,null}', '{null,null}', '{null,null}')", rig.chat)  # fmt: skip
        second = asyncio.create_task(rig.send(quick, f"{schema}.log_append", f"c:{schema}"))
        while not second.done() and not await rig.look.fetchval(WAITING):
            await asyncio.sleep(0.01)
        seen = await rig.look.fetchval("select max(position) from log_head")
        known = [row["position"] for row in await rig.look.fetch(AFTER, before, seen)]
    assert await second == "new"
    end = await rig.look.fetchval("select max(position) from log_head")
    known += [row["position"] for row in await rig.look.fetch(AFTER, seen, end)]
    real = [row["position"] for row in await rig.look.fetch(AFTER, before, end)]
    for position in known:
        real.remove(position)
    return real


AFTER = "select position from log where position > $1 and position <= $2 order by 1"
