"""Probes tell the truth about the process and about what it needs, quickly, whatever has happened to the database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg
import psutil
import pytest
from alembic.script import ScriptDirectory

from messenger.app import create_app
from messenger.apps.health.pulse import Beat, Pulse
from messenger.db.private.cluster import PrivatePostgres
from messenger.db.schema import revisions, upgrade
from messenger.errors import Unavailable
from messenger.web.app_keys import DATABASE
from messenger.web.server import make_runner
from proof.lab.processes import frozen
from tests.actors import Answer, Person, Server
from tests.conftest import configured

PATIENCE = 3.0  # seconds the contract gives to /ping_db


@pytest.fixture
def settings() -> dict[str, str]:
    return {"APPS": "health"}


async def test_a_ping_never_asks_the_database(nobody: Person, server: Server) -> None:
    pool: Any = server.runner.app[DATABASE].engine.pool

    for path in ("/ping", "/ping/", "/healthz"):
        assert (await nobody.get(path)).expecting(200).json["message"]

    assert pool.checkedin() + pool.checkedout() == 0, "a connection was opened"
    (await nobody.get("/ping_db")).expecting(200)
    assert pool.checkedin() == 1, "this is what asking looks like"


async def test_a_server_that_is_up_is_ready(nobody: Person) -> None:
    answer = (await nobody.get("/readyz")).expecting(200).json

    assert answer == {
        "ready": True,
        "draining": False,
        "degraded": False,
        "dependencies": {
            "database": {"ok": True, "detail": "answers"},
            "schema": {"ok": True, "detail": "up to date"},
        },
    }


async def test_no_probe_reads_the_migrations(dsn: str, config, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = 0
    read = ScriptDirectory.from_config

    def counted(*asked: Any) -> ScriptDirectory:
        nonlocal readings
        readings += 1
        return read(*asked)

    revisions.cache_clear()
    monkeypatch.setattr(ScriptDirectory, "from_config", counted)
    async with Server.running(make_runner(create_app(config, dsn))) as server, Person.stranger(server) as nobody:
        assert readings == 1, "this is what reading looks like"

        (await nobody.get("/readyz")).expecting(200)

    assert readings == 1


async def test_a_draining_server_is_alive_and_not_ready(nobody: Person, server: Server) -> None:
    server.runner.drain()

    answer = (await nobody.get("/readyz")).expecting(503).json

    assert (answer["ready"], answer["draining"]) == (False, True)
    (await nobody.get("/healthz")).expecting(200)
    (await nobody.get("/ping")).expecting(200)


async def test_a_schema_that_is_behind_is_not_ready(nobody: Person, sql: asyncpg.Connection) -> None:
    await sql.execute("delete from alembic_version")

    answer = (await nobody.get("/readyz")).expecting(503).json

    assert answer["dependencies"]["database"]["ok"] is True
    assert answer["dependencies"]["schema"] == {"ok": False, "detail": "behind; run messenger-db upgrade head"}


async def test_a_newer_schema_is_ready_if_it_suits_this_version(nobody: Person, sql: asyncpg.Connection) -> None:
    await sql.execute("insert into schema_steps select 'from_the_future', version_num from alembic_version")
    await sql.execute("update alembic_version set version_num = 'from_the_future'")

    answer = (await nobody.get("/readyz")).expecting(200).json

    assert answer["dependencies"]["schema"] == {"ok": True, "detail": "newer than this version"}


async def test_a_newer_schema_that_does_not_suit_is_not_ready(nobody: Person, sql: asyncpg.Connection) -> None:
    await sql.execute("update alembic_version set version_num = 'from_the_future'")

    answer = (await nobody.get("/readyz")).expecting(503).json

    assert answer["dependencies"]["schema"]["ok"] is False


@dataclass
class Elsewhere:
    """A PostgreSQL that can be taken away and given back without disturbing anybody else."""

    url: str
    postmaster_pid: Path

    def hanging(self) -> AbstractContextManager[None]:
        """Everything is taken and nothing answered, like a black hole in the network."""
        return frozen(self._processes())

    def kill(self) -> psutil.Process:
        """The whole server, while the one who would start it again sleeps."""
        processes = self._processes()
        keeper = processes[0].parent()
        keeper.suspend()
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # a connection ended meanwhile
                process.kill()
        return keeper

    def _processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(int(self.postmaster_pid.read_text().split()[0]))
        return [postmaster, *postmaster.children(recursive=True)]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    folder = tmp_path_factory.mktemp("elsewhere")
    with PrivatePostgres.lease(folder, durable=False) as lease:
        upgrade(lease.url)
        asyncio.run(on_disk(lease.url))
        yield Elsewhere(lease.url, folder / "pg" / "postmaster.pid")


async def on_disk(url: str) -> None:
    """This server does not keep data by itself: that it is killed a moment later must not undo its schema."""
    connection = await asyncpg.connect(url)
    await connection.execute("checkpoint")
    await connection.close()


@pytest.fixture
async def visitor(elsewhere: Elsewhere, tmp_path: Path) -> AsyncIterator[Person]:
    """Somebody at a server whose database is elsewhere."""
    app = create_app(configured(tmp_path, {"APPS": "health"}), elsewhere.url)
    async with Server.running(make_runner(app)) as server, Person.stranger(server) as person:
        yield person


async def test_a_database_that_hangs_is_noticed_in_time_and_so_is_its_return(
    visitor: Person, elsewhere: Elsewhere
) -> None:
    (await visitor.get("/ping_db")).expecting(200)

    with elsewhere.hanging():
        refused = await until(visitor, "/ping_db", 503)
        not_ready, alive = await asyncio.gather(timed(visitor, "/readyz"), timed(visitor, "/ping"))

    assert refused.code == "unavailable"
    assert not_ready.expecting(503).json["dependencies"]["database"]["ok"] is False
    alive.expecting(200)
    await until(visitor, "/ping_db", 200)
    await until(visitor, "/readyz", 200)


async def test_a_database_that_is_gone_is_noticed_in_time_and_so_is_its_return(
    visitor: Person, elsewhere: Elsewhere
) -> None:
    (await visitor.get("/ping_db")).expecting(200)

    keeper = elsewhere.kill()
    try:
        refused = await until(visitor, "/ping_db", 503)
    finally:
        keeper.resume()

    assert refused.code == "unavailable"
    await until(visitor, "/ping_db", 200)
    await until(visitor, "/readyz", 200)


async def test_many_who_ask_a_silent_database_ask_it_once() -> None:
    asked, answer = 0, asyncio.Event()

    async def ask() -> Beat:
        nonlocal asked
        asked += 1
        await answer.wait()
        return Beat(True, "answers")

    pulse = Pulse("database", ask, patience=0.01, fresh=0)

    impatient = await asyncio.gather(*(pulse.take() for _ in range(100)))
    answer.set()

    assert not any(beat.ok for beat in impatient)
    assert asked == 1
    assert await pulse.take() == Beat(True, "answers")
    assert asked <= 2
    await pulse.stop()


async def test_a_probe_that_fails_is_a_no_and_not_a_crash() -> None:
    async def unavailable() -> Beat:
        raise Unavailable("gone for lunch")

    async def broken() -> Beat:
        raise ZeroDivisionError

    assert await Pulse("database", unavailable, patience=1, fresh=0).take() == Beat(False, "gone for lunch")
    assert await Pulse("database", broken, patience=1, fresh=0).take() == Beat(False, "the probe itself failed")


async def timed(person: Person, path: str) -> Answer:
    began = monotonic()
    answer = await person.get(path)
    assert monotonic() - began < PATIENCE, f"{path} took too long"
    return answer


async def until(person: Person, path: str, status: int) -> Answer:
    """Each answer must come in time; the wanted one within as long as a database takes to come or go."""
    end = monotonic() + 10
    while (answer := await timed(person, path)).status != status:
        assert monotonic() < end, f"{path} stays {answer.status}: {answer.body!r}"
        await asyncio.sleep(0.05)
    return answer
