"""The read barrier: an answer from memory waits until this process has followed the log to a head read just now."""

import asyncio
import time

import pytest

from messenger.db.connection import ConnectionLost
from messenger.errors import Unavailable
from messenger.web.app_keys import LOG
from tests.apps.talk import fill


@pytest.fixture
def settings():
    return {"WIRE": "none"}


async def test_behind_the_barrier_everything_written_elsewhere_is_known(server, alice, sql):
    lunch = await alice.opens_chat("lunch")
    log = server.runner.app[LOG]

    for _ in range(5):
        await fill(sql, lunch, alice, 3)
        place = log.followed_to
        await log.barrier()

        assert log.tail.position == await sql.fetchval("select max(position) from log_head")
        assert not log.is_quiet(place, chat_id=int(lunch))
        assert log.is_quiet(log.followed_to, chat_id=int(lunch), user_id=int(alice.user_id))


async def test_one_look_serves_all_who_came_before_it_began(server, sql):
    log = server.runner.app[LOG]
    looks = []
    read = log._head_connection.row

    async def counted(*arguments):
        looks.append(time.monotonic())
        return await read(*arguments)

    log._head_connection.row = counted
    await asyncio.gather(*(log.barrier() for _ in range(50)))
    assert len(looks) == 1

    came = time.monotonic()
    await log.barrier(came)
    await asyncio.gather(*(log.barrier(came) for _ in range(50)))
    assert len(looks) == 2, "the look that began after they came was theirs too"

    first = asyncio.create_task(log.barrier())
    while len(looks) < 3:
        await asyncio.sleep(0)
    late = asyncio.create_task(log.barrier())  # it came after that look began, and needs one of its own
    await asyncio.gather(first, late)
    assert len(looks) == 4


async def test_without_the_database_nobody_waits_behind_the_barrier_for_ever(server, sql, monkeypatch):
    log = server.runner.app[LOG]
    monkeypatch.setattr("messenger.log.log.PATIENCE", 0.2)

    async def hangs(*arguments):
        await asyncio.sleep(60)

    monkeypatch.setattr(log._head_connection, "row", hangs)

    with pytest.raises(Unavailable):
        await asyncio.wait_for(log.barrier(), 10)


async def test_who_leaves_takes_nobody_along_and_a_failure_is_everybodys(server, monkeypatch):
    log = server.runner.app[LOG]
    read, goes_on, fails = log._head_connection.row, asyncio.Event(), False

    async def slowly(*arguments):
        await goes_on.wait()
        if fails:
            raise ConnectionLost
        return await read(*arguments)

    monkeypatch.setattr(log._head_connection, "row", slowly)

    async def waits(count):
        tasks = [asyncio.create_task(log.barrier()) for _ in range(count)]
        await asyncio.sleep(0.01)
        return tasks

    first, second = await waits(3), await waits(3)  # of this read, and of the next
    for one in (*first[:2], second[0]):
        one.cancel()
    await asyncio.wait([*first[:2], second[0]])
    goes_on.set()
    await asyncio.wait_for(asyncio.gather(first[2], *second[1:]), 5)

    goes_on.clear()
    refused, fails = await waits(3), True
    goes_on.set()
    answers = await asyncio.wait_for(asyncio.gather(*refused, return_exceptions=True), 5)
    assert [type(one) for one in answers] == [ConnectionLost] * 3
    fails = False
    await asyncio.wait_for(log.barrier(), 5)
