"""Search tasks over a RabbitMQ of three nodes, one of which is killed."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import pytest

from messenger.apps.search import tasks
from messenger.apps.search.engines.broker import DEAD, QUEUE
from messenger.run.admin.doctor_queues import ask_queues
from proof.lab.rabbit import Rabbits, needs_rabbit
from proof.lab.waiting import happens
from tests.actors import Person
from tests.apps.search.finding import begins, ends
from tests.apps.search.test_rabbit import Worker, Workers

pytestmark = [needs_rabbit, pytest.mark.long]


@pytest.fixture(scope="module")
async def rabbits(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rabbits]:
    nodes = Rabbits(tmp_path_factory.mktemp("rabbits"))
    try:
        yield await nodes.start()
    finally:
        nodes.kill()


@pytest.fixture
def settings(rabbits: Rabbits) -> dict[str, str]:
    return {"RMQ_URL": rabbits.url}


@pytest.fixture
def consumers(dsn: str, rabbits: Rabbits, tmp_path: Path) -> Iterator[list[Worker]]:
    workers = Workers(dsn, rabbits.url, tmp_path)
    yield [workers.start() for _ in range(2)]
    for one in workers.processes:
        one.kill()


async def doctor(rabbits: Rabbits) -> list[str]:
    return [str(finding) async for finding in ask_queues([node.url for node in rabbits.nodes])]


async def test_tasks_end_though_a_node_is_killed_and_both_queues_have_three(
    bob: Person, lunch: str, rabbits: Rabbits, consumers: list[Worker]
) -> None:
    assert await ends(bob, await begins(bob), tasks.DEADLINE) == "SUCCESS"
    whole = [f"✔ queues: {name} is on 3 nodes" for name in (QUEUE, DEAD)]

    async def are_told() -> bool:
        return await doctor(rabbits) == whole

    await happens(are_told, "both queues on three nodes")
    killed = Random(0).choice(rabbits.nodes)  # noqa: S311
    begun = [await begins(bob) for _ in range(5)]
    killed.kill()
    begun += [await begins(bob) for _ in range(5)]

    assert [await ends(bob, task, tasks.DEADLINE) for task in begun] == ["SUCCESS"] * 10

    async def is_missed() -> bool:
        return all(f"{killed.name} away" in said for said in await doctor(rabbits))

    await happens(is_missed, "the doctor misses the node")
    await killed.start().ready()
    await happens(are_told, "both queues on three nodes again")
