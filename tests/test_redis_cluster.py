"""A Redis Cluster is refused at the start: on it every process would count for itself, and no page would be kept."""

import asyncio
from pathlib import Path

import pytest

from messenger.run import api, consumer
from tests.commands import Main, forked
from tests.log.test_wires import running_valkey
from tests.test_commands import environment, refusal
from tests.test_consumer import NOBODY


@pytest.mark.parametrize("main", [api.main, consumer.main], ids=["api", "consumer"])
async def test_a_redis_cluster_is_refused_in_one_sentence(tmp_path: Path, main: Main) -> None:
    async with running_valkey(tmp_path, 0, "--cluster-enabled", "yes") as (url, _):
        own = environment(tmp_path, {"REDIS_URL": url, "RMQ_URL": NOBODY})
        done = await asyncio.to_thread(forked, main, folder=tmp_path, environment=own)

    assert refusal(done, 2).splitlines() == [
        "REDIS_URL leads to a Redis Cluster, which shares neither limits nor pages: name a single Redis."
    ]
    assert not (tmp_path / "data" / "pg").exists()
