"""A Redis Cluster is refused at the start: on it every process would count for itself, and no page would be kept."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests import test_consumer
from tests.log.test_wires import running_valkey
from tests.test_commands import PATIENCE, environment, refusal


def api(folder: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "messenger"],
        cwd=folder,
        env=environment(folder, settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def consumer(folder: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    return test_consumer.run(folder, RMQ_URL=test_consumer.NOBODY, **settings)


@pytest.mark.parametrize("start", [api, consumer])
async def test_a_redis_cluster_is_refused_in_one_sentence(tmp_path: Path, start) -> None:
    async with running_valkey(tmp_path, 0, "--cluster-enabled", "yes") as (url, _):
        done = await asyncio.to_thread(start, tmp_path, REDIS_URL=url)

    assert refusal(done, 2).splitlines() == [
        "REDIS_URL leads to a Redis Cluster, which shares neither limits nor pages: name a single Redis."
    ]
    assert not (tmp_path / "data" / "pg").exists()
