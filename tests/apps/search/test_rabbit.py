"""Search tasks over a real RabbitMQ: killed consumers, killed brokers, lost queues, poison. The rows are the truth."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import aio_pika
import asyncpg
import pytest
from redis import asyncio as redis

from messenger.apps.search import tasks
from messenger.apps.search.engines import broker
from messenger.apps.search.engines.consumer import Consumer
from messenger.apps.search.results.postgres import PostgresResults
from messenger.db.database import Database
from messenger.log.store import append
from messenger.settings import SecretUrls
from proof.lab.processes import Process
from proof.lab.rabbit import Rabbit, needs_rabbit
from proof.lab.redis import Valkey
from proof.lab.waiting import PATIENCE, happens
from tests.actors import Person
from tests.apps.search.finding import begins, emptied, ends, fetches, results_in, state
from tests.apps.talk import says

pytestmark = needs_rabbit

NOBODY = "amqp://guest:guest@127.0.0.1:9/"
FOREVER = "600"  # seconds of a work that ends by a kill


class Worker(Process):
    """One `messenger-consumer`."""

    module = "messenger.run.consumer"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    one = Rabbit(tmp_path_factory.mktemp("rabbit"))
    one.start()
    yield one
    one.kill()


@pytest.fixture
async def rabbit(running: Rabbit) -> Rabbit:
    """Without what the tests before have left."""
    await running.ready()
    async with await aio_pika.connect(running.url) as connection:
        channel = await connection.channel()
        for name in (broker.QUEUE, broker.DEAD):
            await channel.queue_delete(name)
    return running


@pytest.fixture
def settings(request: pytest.FixtureRequest, rabbit: Rabbit) -> dict[str, str]:
    found_in_redis = getattr(request, "param", "") == "redis"
    store = results_in(request.getfixturevalue("valkey")) if found_in_redis else {}
    return {"RMQ_URL": rabbit.url, **store}


@pytest.fixture
async def store(valkey: Valkey) -> "AsyncIterator[redis.Redis[bytes]]":
    """A look into Redis past the server."""
    async with emptied(valkey.url) as client:
        yield client


class Workers:
    def __init__(self, dsn: str, url: str, folder: Path) -> None:
        self._dsn = dsn
        self.url = url
        self._folder = folder
        self.processes: list[Worker] = []

    def start(self, **settings: str) -> Worker:
        """A process of its own, to be killed."""
        one = Worker(self._folder, {"DATABASE_URL": self._dsn, "RMQ_URL": self.url, "LOG_LEVEL": "INFO", **settings})
        self.processes.append(one)
        one.start()
        return one

    @asynccontextmanager
    async def here(self) -> AsyncIterator[None]:
        """In this process: started in no time."""
        db = Database(self._dsn, append=append)
        consumer = Consumer(SecretUrls(self.url).each, db, PostgresResults(), 0)
        consumer.start()
        yield
        await consumer.stop()
        await db.close()


@pytest.fixture
def workers(dsn: str, rabbit: Rabbit, tmp_path: Path) -> Iterator[Workers]:
    all_of_them = Workers(dsn, rabbit.url, tmp_path)
    yield all_of_them
    for one in all_of_them.processes:
        one.kill()


async def comes_to(person: Person, task: str, wanted: str) -> None:
    async def is_so() -> bool:
        return await state(person, task) == wanted

    await happens(is_so, f"task {task} comes to {wanted}")


async def waits_in_the_queue(rabbit: Rabbit, name: str = broker.QUEUE) -> int:
    async with await aio_pika.connect(rabbit.url) as connection:
        channel = await connection.channel()
        return int((await channel.declare_queue(name, passive=True)).declaration_result.message_count or 0)


async def nothing_is_left(rabbit: Rabbit, *names: str) -> None:
    """Asked while there is a consumer: its acknowledgement comes a moment after the row says that it is over, and what
    it has not acknowledged when it leaves waits for the next one.
    """

    async def is_empty() -> bool:
        return [await waits_in_the_queue(rabbit, name) for name in names] == [0] * len(names)

    await happens(is_empty, "the queues are empty")


async def test_without_a_consumer_a_task_waits_and_with_one_all_are_done(bob, lunch, rabbit, workers) -> None:
    waiting = [await begins(bob) for _ in range(3)]

    async def are_there() -> bool:
        return await waits_in_the_queue(rabbit) == 3

    await happens(are_there, "the tasks are in the queue")
    assert [await state(bob, task) for task in waiting] == ["WAITING"] * 3

    async with bob.connects() as socket, workers.here():
        assert [await ends(bob, task, PATIENCE) for task in waiting] == ["SUCCESS"] * 3
        assert (await socket.hears("search_finished"))["task_id"] in waiting
        assert await ends(bob, await begins(bob), PATIENCE) == "SUCCESS"
        await nothing_is_left(rabbit, broker.QUEUE)
    assert await fetches(bob, waiting[0]) == [f"pizza {number}" for number in (4, 3, 2, 1, 0)]


async def test_a_task_that_is_delivered_twice_is_done_once(bob, lunch, rabbit, workers, sql) -> None:
    task = await begins(bob)
    async with await aio_pika.connect(rabbit.url) as connection:
        channel = await connection.channel()
        await broker.declare(channel, broker.QUEUE)
        for body in (task.encode(), task.encode(), b"no number", b"9" * 40, b""):
            await channel.default_exchange.publish(aio_pika.Message(body), broker.QUEUE)

        async with workers.here():
            assert await ends(bob, task, PATIENCE) == "SUCCESS"

            async def is_empty() -> bool:
                return await waits_in_the_queue(rabbit) == 0

            await happens(is_empty, "everything is taken out of the queue")

    assert await sql.fetchval("select attempts from search_tasks where id = $1", int(task)) == 1
    assert len(await fetches(bob, task)) == 5


async def test_a_task_whose_consumer_was_killed_is_finished_by_another(bob, lunch, workers, sql) -> None:
    killed = workers.start(SEARCH_DELAY=FOREVER)
    task = await begins(bob)
    await comes_to(bob, task, "IN_PROCESS")

    async with workers.here():
        killed.kill()

        assert await ends(bob, task, PATIENCE) == "SUCCESS"
    assert await sql.fetchval("select attempts from search_tasks where id = $1", int(task)) == 2
    assert len(await fetches(bob, task)) == 5


@pytest.mark.parametrize("settings", ["redis"], indirect=True)
async def test_what_a_consumer_found_is_fetched_out_of_redis_by_the_server(
    bob, lunch, workers, settings, store
) -> None:
    killed = workers.start(SEARCH_DELAY=FOREVER, **settings)
    in_its_hands = await begins(bob)
    await comes_to(bob, in_its_hands, "IN_PROCESS")
    killed.kill()
    workers.start(**settings)
    lost = await begins(bob)
    assert [await ends(bob, task, PATIENCE) for task in (in_its_hands, lost)] == ["SUCCESS"] * 2
    assert len(await store.keys("messenger:search:*")) == 2

    assert await fetches(bob, in_its_hands) == [f"pizza {number}" for number in (4, 3, 2, 1, 0)]
    assert len(await store.keys("messenger:search:*")) == 1
    await store.flushall()

    assert await fetches(bob, lost) == []
    assert await state(bob, lost) == "FAILED"
    assert await ends(bob, await begins(bob), PATIENCE) == "SUCCESS"


async def test_a_consumer_that_is_told_to_leave_puts_its_work_back(bob, lunch, workers, sql) -> None:
    leaving = workers.start(SEARCH_DELAY=FOREVER)
    task = await begins(bob)
    await comes_to(bob, task, "IN_PROCESS")
    assert leaving.popen is not None

    leaving.popen.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(leaving.popen.wait, PATIENCE) == 0, leaving.said
    assert await state(bob, task) == "WAITING"

    async with workers.here():
        assert await ends(bob, task, PATIENCE) == "SUCCESS"
    assert await sql.fetchval("select attempts from search_tasks where id = $1", int(task)) == 1
    assert "Traceback" not in leaving.said


async def test_a_task_that_always_stumbles_fails_after_three_tries_and_others_go_on(
    bob, lunch, rabbit, workers, sql
) -> None:
    await sql.execute("alter table search_tasks add constraint no check (status <> 'SUCCESS' or text <> 'poison')")

    async with workers.here():
        poison = await begins(bob, "poison")
        assert await ends(bob, await begins(bob), PATIENCE) == "SUCCESS"

        assert await ends(bob, poison, PATIENCE) == "FAILED"
        assert await ends(bob, await begins(bob), PATIENCE) == "SUCCESS"
        await nothing_is_left(rabbit, broker.QUEUE, broker.DEAD)
    assert await sql.fetchval("select attempts from search_tasks where id = $1", int(poison)) == 3


async def test_a_task_that_kills_three_consumers_is_a_dead_letter_and_fails(bob, lunch, rabbit, workers, sql) -> None:
    poison = await begins(bob, "poison")
    for attempt in (1, 2, 3):
        victim = workers.start(SEARCH_DELAY=FOREVER)

        async def is_tried(attempt: int = attempt) -> bool:
            return bool(await sql.fetchval("select attempts from search_tasks where id = $1", int(poison)) == attempt)

        await happens(is_tried, f"try {attempt}")
        victim.kill()

    async def is_dead() -> bool:
        return await waits_in_the_queue(rabbit, broker.DEAD) == 1

    await happens(is_dead, "it is among the dead letters")
    async with workers.here():
        assert await ends(bob, await begins(bob), PATIENCE) == "SUCCESS"
        assert await ends(bob, poison, PATIENCE) == "FAILED"


async def test_a_broker_that_is_killed_loses_nothing_and_hinders_nobody(
    bob, lunch, rabbit, workers, monkeypatch
) -> None:
    monkeypatch.setattr(tasks, "TRUST", 2.0)
    monkeypatch.setattr(tasks, "DEADLINE", 4 * PATIENCE)  # a busy machine needs more than a task has in earnest
    before = await begins(bob)
    async with workers.here():
        assert await ends(bob, before, PATIENCE) == "SUCCESS"
        in_the_queue = await begins(bob)

        rabbit.kill()

        async with asyncio.timeout(5):
            while_dead = [await begins(bob) for _ in range(3)]
            await says(bob, lunch, "sending goes on")
        rabbit.start()
        await rabbit.ready()

        # Its queue often comes out of this deaf, and is made anew: half a minute on a quiet machine.
        every = (in_the_queue, *while_dead, await begins(bob))
        ended = [await ends(bob, task, tasks.DEADLINE) for task in every]
    assert ended == ["SUCCESS"] * 5


async def test_queues_that_another_version_made_serve_as_well(bob, lunch, rabbit, workers) -> None:
    async with await aio_pika.connect(rabbit.url) as connection:
        channel = await connection.channel()
        for name in broker.QUEUES:
            await channel.queue_delete(name)
            await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})

        async with workers.here():
            assert await ends(bob, await begins(bob), PATIENCE) == "SUCCESS"


async def test_of_several_nodes_one_is_enough(bob, lunch, rabbit, workers) -> None:
    workers.url = f"{NOBODY},{rabbit.url}"

    async with workers.here():
        assert await ends(bob, await begins(bob), PATIENCE) == "SUCCESS"


async def test_a_queue_that_was_deleted_is_made_again_and_its_tasks_with_it(
    bob, lunch, rabbit, workers, monkeypatch
) -> None:
    monkeypatch.setattr(tasks, "TRUST", 2.0)
    lost = await begins(bob)

    async def is_there() -> bool:
        return await waits_in_the_queue(rabbit) == 1

    await happens(is_there, "the task is in the queue")
    async with await aio_pika.connect(rabbit.url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(broker.QUEUE)
        async with workers.here():
            assert await ends(bob, lost, PATIENCE) == "SUCCESS"

            await channel.queue_delete(broker.QUEUE)
            assert await ends(bob, await begins(bob), PATIENCE) == "SUCCESS"


@pytest.mark.parametrize("settings", [{"RMQ_URL": NOBODY}])
async def test_with_no_broker_at_all_a_task_waits_until_its_time_is_up(
    bob: Person, lunch: str, sql: asyncpg.Connection, settings: Any
) -> None:
    task = await begins(bob)
    assert await state(bob, task) == "WAITING"

    await sql.execute("update search_tasks set created_at = created_at - interval '61 s'")

    assert await ends(bob, task) == "FAILED"


async def test_an_end_that_a_driver_did_not_hear_is_said_again() -> None:
    heard = 0

    async def hard_of_hearing() -> NoReturn:
        nonlocal heard
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard += 1
                if heard > 1:
                    raise

    task = asyncio.create_task(hard_of_hearing())
    await asyncio.sleep(0)

    async with asyncio.timeout(PATIENCE):
        await broker.end([task])

    assert (heard, task.cancelled()) == (2, True)
