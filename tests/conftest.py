"""One throw-away PostgreSQL for the whole run, one migrated template, and a clone of it for each test.

The server lives as long as somebody holds its lease, so nothing stays behind, not even after kill -9.
"""

import asyncio
import gc
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import hypothesis
import pytest
from cryptography.fernet import Fernet
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import create_async_engine

from messenger.app import create_app
from messenger.db import database as engines
from messenger.db.private.cluster import PrivatePostgres
from messenger.db.schema import upgrade
from messenger.log import appender
from messenger.settings import Config, read
from messenger.web.app_keys import DATABASE
from messenger.web.server import make_runner
from proof.lab.processes import Process
from tests import commands, frames
from tests.actors import Person, Server

FOLDER = "MESSENGER_TEST_FOLDER"  # made by the first process, shared with its xdist workers through the environment
TEMPLATE = "messenger_template"
SPACE = 4 << 30
NUMBERS = count(1)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(frames, "frames")  # a whole run must have seen every frame of asyncapi.yml
    if FOLDER not in os.environ:
        place = memory() or tempfile.gettempdir()
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", place)  # of all tmp_path
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="messenger-tests-", dir=place)
        config.stash[OWNED] = os.environ[FOLDER]


def pytest_xdist_auto_num_workers() -> int:
    """Two for each core: half of the time a test waits for processes and databases."""
    return 2 * (os.cpu_count() or 1)


# What takes the longest comes first, so that no worker ends alone with one of them.
SLOW = tuple(
    f"tests/{place}"
    for place in (
        "apps/search/test_rabbit.py",
        "test_commands.py",
        "page/",
        "faults/",
        "db/private/",
        "apps/throttling/",
        "apps/health/test_helpers.py",
        "contracts/test_fuzz.py",
        "contracts/test_toggles.py",
        "deploy/",
        "run/",
        "web/test_kept.py",
        "contracts/test_rights.py",
        "apps/chats/test_rights.py",
        "proof/",
        "apps/search/",
        "apps/messages/",
        "db/",
        "apps/ws/",
        "contracts/test_without_database.py",
    )
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    sizes = Counter(item.path for item in items)

    def place(item: pytest.Item) -> tuple[int, int]:
        ranks = (rank for rank, start in enumerate(SLOW) if item.nodeid.startswith(start))
        return next(ranks, len(SLOW)), -sizes[item.path]

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Thousands of tests stay until the end: the garbage collector need not look at them again and again."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def memory() -> str | None:
    """Where files cost no disk: the databases of the tests are made there in half the time."""
    try:
        return "/dev/shm" if shutil.disk_usage("/dev/shm").free > SPACE else None
    except OSError:
        return None


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = config.stash.get(OWNED, None)
    if folder is not None:
        os.environ.pop(FOLDER, None)
        shutil.rmtree(folder, ignore_errors=True)


OWNED = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def folder() -> Path:
    return Path(os.environ[FOLDER])


@pytest.fixture(scope="session")
def postgres(folder: Path) -> Iterator[str]:
    with PrivatePostgres.lease(folder / "postgres", durable=False) as server:
        yield server.url


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """The migrated database that others are copied from; the first process makes it."""

    async def missing() -> bool:
        connection = await asyncpg.connect(postgres)
        try:
            await connection.execute(f"create database {TEMPLATE}")
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            return False
        finally:
            await connection.close()
        return True

    asyncio.run(missing())
    upgrade(named(postgres, TEMPLATE))  # under its own lock: the second comer waits and finds nothing to do
    return TEMPLATE


@pytest.fixture
def origin(template: str) -> str:
    """What a test's database is a copy of."""
    return template


@pytest.fixture
def dsn(request: pytest.FixtureRequest) -> str:
    """A migrated database for this test alone, or for all of its file that are not marked `alone`."""
    return str(request.getfixturevalue("shared_database" if shares(request) else "own_database"))


def shares(request: pytest.FixtureRequest) -> bool:
    return request.node.get_closest_marker("shared") is not None and request.node.get_closest_marker("alone") is None


@pytest.fixture
async def own_database(postgres: str, origin: str) -> AsyncIterator[str]:
    async with database(postgres, origin) as dsn:
        yield dsn


@pytest.fixture(scope="module")
async def shared_database(postgres: str, template: str) -> AsyncIterator[str]:
    async with database(postgres, template) as dsn:
        yield dsn


@asynccontextmanager
async def database(postgres: str, origin: str) -> AsyncIterator[str]:
    name = f"test_{os.getpid()}_{next(NUMBERS)}"
    connection = await asyncpg.connect(postgres)
    await copy(connection, name, origin)
    yield named(postgres, name)
    await connection.execute(f"drop database {name} with (force)")
    await connection.close()


async def copy(connection: asyncpg.Connection, name: str, template: str) -> None:
    for _ in range(200):  # the template is busy for a moment while another worker copies or checks it
        try:
            await connection.execute(f"create database {name} template {template} strategy file_copy")
            return
        except asyncpg.ObjectInUseError:
            await asyncio.sleep(0.05)
    pytest.fail(f"{template} stayed in use")


@pytest.fixture
async def sql(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A look into the database past the server."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


# A machine that runs the tests is busy, and PostgreSQL forks for every connection: a second may be too short there.
IN_EARNEST, MORE = commands.patience(), (5.0, 5.0, 5.0)
commands.set_patience(*MORE)


# A server is there in a third of the time; that it starts in earnest is for tests/test_commands.py to show.
Process.spawn = commands.spawn_forked  # type: ignore[method-assign]


# Each server has an engine of its own: what the first of them has compiled holds for the others of this process.
PGDialect_asyncpg.__eq__ = lambda one, other: type(one) is type(other)  # type: ignore[method-assign,assignment]
PGDialect_asyncpg.__hash__ = lambda one: hash(type(one))  # type: ignore[method-assign,assignment]
engines.create_async_engine = partial(  # type: ignore[attr-defined]
    create_async_engine, execution_options={"compiled_cache": {}}
)


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """A send is answered as soon as in earnest: for tests in which the database keeps it waiting."""
    monkeypatch.setattr(appender, "PATIENCE", IN_EARNEST[2])


@pytest.fixture
def impatient() -> Iterator[None]:
    """Nobody waits longer than in earnest: for tests in which the database dies or falls silent."""
    commands.set_patience(*IN_EARNEST)
    yield
    commands.set_patience(*MORE)


# Timing is measured in proof/bench and never asserted in a test.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Tests are in a hurry that no person is in: limits are counted, and what is about them sets its own.
UNLIMITED = {"THROTTLE_SEND": "100000000/100000000s", "THROTTLE_DEFAULT": "100000000/100000000s"}
SECRET_KEY = Fernet.generate_key().decode()


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """What a test may change before the server starts: `@pytest.mark.parametrize`, or an own fixture of this name."""
    return {}


@pytest.fixture
def config(tmp_path: Path, settings: dict[str, str]) -> Config:
    return configured(tmp_path, settings)


def configured(folder: Path, settings: dict[str, str]) -> Config:
    return read({"DATA_DIR": str(folder), "SECRET_KEY": SECRET_KEY, **UNLIMITED, **settings})


@pytest.fixture
async def start(dsn: str, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    """Starts servers on this test's database: `await start(AUTH_DISABLED="true")`; several act as several workers."""
    async with AsyncExitStack() as stack:

        async def started(**settings: str) -> Server:
            app = create_app(configured(tmp_path, settings), dsn)
            return await stack.enter_async_context(Server.running(make_runner(app)))

        yield started


@pytest.fixture
def server(request: pytest.FixtureRequest, config: Config) -> Server:
    server: Server = request.getfixturevalue("shared_server" if shares(request) else "own_server")
    return server


@pytest.fixture
async def own_server(dsn: str, config: Config) -> AsyncIterator[Server]:
    async with Server.running(make_runner(create_app(config, dsn))) as running:
        yield running


Servers = Callable[[dict[str, str]], Awaitable[Server]]


@pytest.fixture(scope="module")
async def servers(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """The servers that the tests of a file share, one for each set of settings."""
    async with AsyncExitStack() as stack:
        running: dict[str, Server] = {}

        async def having(settings: dict[str, str]) -> Server:
            name = repr(sorted(settings.items()))
            if name not in running:
                app = create_app(configured(tmp_path_factory.mktemp("server"), settings), shared_database)
                running[name] = await stack.enter_async_context(Server.running(make_runner(app)))
            return running[name]

        yield having


# The next test has an alice, bob and mallory of its own.
LEAVE = (
    "update users set name_key = null, email_key = null where name_key is not null",
    "delete from login_failures",
)


@pytest.fixture
async def shared_server(servers: Servers, settings: dict[str, str]) -> AsyncIterator[Server]:
    server = await servers(settings)
    yield server
    async with server.runner.app[DATABASE].transaction() as tx:
        for statement in LEAVE:
            await tx.run(statement)


def present(server: Server, name: str) -> AbstractAsyncContextManager[Person]:
    from tests.people import present  # noqa: PLC0415  (sub-apps are not loaded where a test shows that they are not)

    return present(server, name)


@pytest.fixture
async def alice(server: Server) -> AsyncIterator[Person]:
    async with present(server, "alice") as person:
        yield person


@pytest.fixture
async def bob(server: Server) -> AsyncIterator[Person]:
    async with present(server, "bob") as person:
        yield person


@pytest.fixture
async def mallory(server: Server) -> AsyncIterator[Person]:
    """Signed in like everybody, and up to no good."""
    async with present(server, "mallory") as person:
        yield person


@pytest.fixture
async def nobody(server: Server) -> AsyncIterator[Person]:
    async with Person.stranger(server) as person:
        yield person


def named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
