"""One cluster for all: a private PostgreSQL, pairs of processes on it, and people that every process knows."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from proof.lab.cluster import Cluster
from proof.lab.crowd import Actor, new_name, sign_up
from proof.lab.processes import Process

PEOPLE = 6


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def known() -> list[Actor]:
    return []


@pytest.fixture
async def pair(cluster: Cluster) -> tuple[Process, Process]:
    return await cluster.pair()


@pytest.fixture
async def cast(pair: tuple[Process, Process], known: list[Actor]) -> list[Actor]:
    """The same few people in every test; what they do, they do in chats of that test."""
    if not known:
        known += await sign_up(pair[0], [new_name("person") for _ in range(PEOPLE)])
    return known


@pytest.fixture
async def sql(cluster: Cluster, pair: tuple[Process, Process]) -> AsyncIterator[asyncpg.Connection]:
    """A look into the database past the servers."""
    connection = await asyncpg.connect(cluster.dsn)
    yield connection
    connection.terminate()
