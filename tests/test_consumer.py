"""messenger-consumer as an operator meets it: refusals as those of messenger-api, and one's own PostgreSQL."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from messenger.run.consumer import main
from proof.lab.processes import free_port, processes_of
from tests.commands import Done, forked
from tests.test_commands import PATIENCE, environment, refusal, wait_for

NOBODY = "amqp://guest:planted@127.0.0.1:9/"


def run(folder: Path, *arguments: str, **settings: str) -> Done:
    return forked(main, *arguments, folder=folder, environment=environment(folder, settings))


@pytest.mark.parametrize(
    ("code", "settings", "said"),
    [
        (2, {}, "RMQ_URL is not set"),
        (2, {"RMQ_URL": "planted.example"}, "RMQ_URL is not an address"),
        (2, {"RMQ_URL": f"{NOBODY},http://planted.example"}, "RMQ_URL is not an address"),
        (2, {"RMQ_URL": NOBODY, "APPS": "health"}, "APPS leaves out search"),
        (2, {"RMQ_URL": NOBODY, "SEARCH_DELAY": "soon"}, "SEARCH_DELAY='soon'"),
        (2, {"RMQ_URL": NOBODY, "MODE": "production"}, "needs SECRET_KEY"),
        (3, {"RMQ_URL": NOBODY, "DATABASE_URL": f"postgresql://127.0.0.1:{free_port()}/chat"}, "No database at"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, code: int, settings: dict[str, str], said: str) -> None:
    told = refusal(run(tmp_path, **settings), code)

    assert said in told
    assert "planted" not in told
    assert not (tmp_path / "data" / "pg").exists()


def test_a_database_without_its_schema_is_refused(tmp_path: Path, postgres: str) -> None:
    assert "messenger-db upgrade head" in refusal(run(tmp_path, RMQ_URL=NOBODY, DATABASE_URL=postgres), 4)


def test_it_brings_up_the_private_database_waits_for_the_broker_and_leaves_nothing_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "messenger.run.consumer"],
        cwd=tmp_path,
        env=environment(tmp_path, {"RMQ_URL": NOBODY}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    debug = tmp_path / "data" / "logs" / "debug.log"

    def logged() -> list[dict[str, object]]:
        return [json.loads(line) for line in debug.read_text().splitlines()] if debug.exists() else []

    try:
        wait_for(lambda: process.poll() is not None or any("RabbitMQ is away" in str(one["event"]) for one in logged()))
        os.kill(process.pid, signal.SIGTERM)
        said = process.communicate(timeout=PATIENCE)[0].decode()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    assert process.returncode == 0, said
    events = [str(one["event"]) for one in logged()]
    assert sum("RabbitMQ is away" in event for event in events) <= 2, "it is said once for each of the two connections"
    assert {one["level"] for one in logged()} <= {"INFO", "WARNING"}
    assert "planted" not in said + debug.read_text()
    wait_for(lambda: not processes_of(tmp_path))


def test_without_rabbitmq_and_redis_their_drivers_are_not_loaded(tmp_path: Path) -> None:
    script = (
        "import sys; from messenger.apps.search import engines, results; from messenger.db.database import Database\n"
        "from messenger.apps.search.index import Index\n"
        "from messenger.settings import read\n"
        "config = read({})\n"
        "db = Database('postgresql://')\n"
        "engines.make(config, db, results.make(config), Index(db.connections))\n"
        "print(sorted({'aio_pika', 'redis'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(tmp_path, {}), capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
