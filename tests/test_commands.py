"""messenger-api as an operator meets it: what it says, how it exits, that it gives back what it took."""

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from messenger.db.private import keeper
from messenger.db.private.binaries import choose
from messenger.run import serve
from messenger.run.api import main
from messenger.settings import read
from proof.lab.processes import free_port
from tests.commands import ROOT, Done, Forked, forked, in_earnest

PATIENCE = 30.0


@dataclass
class Command:
    process: "subprocess.Popen[bytes] | Forked"
    port: int
    terminal: int | None = None
    said: list[str] = field(default_factory=list)
    _reader: threading.Thread | None = None

    def listen(self) -> None:
        """Keep reading the terminal, so that the server never waits for us."""

        def read() -> None:
            assert self.terminal is not None
            with suppress(OSError):  # how a terminal says that nobody is left
                while piece := os.read(self.terminal, 65536):
                    self.said.append(piece.decode())

        self._reader = threading.Thread(target=read)
        self._reader.start()

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code

    def wait_until_ready(self) -> "Command":
        wait_for(lambda: self.process.poll() is not None or self._answers())
        assert self.process.poll() is None, self.end()
        return self

    def _answers(self) -> bool:
        with suppress(OSError):
            return self.get("/ping") == 200
        return False

    def send(self, sign: signal.Signals) -> None:
        self.process.send_signal(sign)

    def end(self) -> tuple[int, str]:
        """The exit code and everything that was said."""
        code = self.process.wait(PATIENCE)
        if self._reader is not None:
            self._reader.join(PATIENCE)
        return code, "".join(self.said)


Runs = Callable[..., Done]
Starts = Callable[..., Command]


def wait_for(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def environment(home: Path, settings: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COV", "PATH", "HOME", "LANG"))}
    return {**kept, "PYTHONPATH": str(ROOT), "DATA_DIR": str(home / "data"), **settings}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """A command that is expected to end by itself."""

    def run(*arguments: str, **settings: str) -> Done:
        return forked(main, *arguments, folder=tmp_path, environment=environment(tmp_path, settings))

    return run


@pytest.fixture
def starts(tmp_path: Path) -> Iterator[Starts]:
    """A server in the foreground of a terminal of its own; whatever happens, none stays behind."""
    started: list[Command] = []

    def start(*arguments: str, port: int | None = None, is_forked: bool = False, **settings: str) -> Command:
        port = port or free_port()
        arguments = ("--port", str(port), *arguments)
        own = environment(tmp_path, settings)
        ours, theirs = pty.openpty()
        if is_forked:
            process = Forked(main, arguments, tmp_path, own, [Path(os.ttyname(theirs))] * 3)
        else:
            process = subprocess.Popen(
                [sys.executable, "-m", "messenger", *arguments],
                cwd=tmp_path,
                env=own,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
        os.close(theirs)
        command = Command(process, port, ours)
        started.append(command)
        command.listen()
        return command

    yield start
    for command in started:
        with suppress(ProcessLookupError):
            os.killpg(command.process.pid, signal.SIGKILL)
        command.end()
        assert command.terminal is not None
        os.close(command.terminal)


def refusal(done: Done, code: int) -> str:
    """What was said; short, and no traceback."""
    assert done.returncode == code, done.stderr
    assert 1 <= len(done.stderr.splitlines()) <= 3, done.stderr
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (["--port", "eighty"], {}, "PORT='eighty' is not a whole number"),
        (["--prot", "8081"], {}, "Did you mean --port?"),
        (["--worker", "2"], {}, "Did you mean --workers?"),
        (["app:make"], {}, "APPS"),
        (["--dev"], {"MODE": "production", "SECRET_KEY": "k" * 43 + "="}, "exclude each other"),
        ([], {"APPS": "health,chatz"}, "APPS names 'chatz'"),
        ([], {"MODE": "production", "APPS": "health"}, "needs SECRET_KEY"),
        ([], {"MODE": "production", "SECRET_KEY": "k" * 43 + "=", "WORKER_NUM": "2"}, "did you mean WORKERS_NUM"),
        ([], {"TRUSTED_PROXIES": "proxy.local"}, "TRUSTED_PROXIES"),
        ([], {"HOST": "203.0.113.1"}, "not an address of this machine"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_started(
    runs: Runs, tmp_path: Path, arguments: list[str], settings: dict[str, str], said: str
) -> None:
    assert said in refusal(runs(*arguments, **settings), 2)
    assert not (tmp_path / "data" / "pg").exists()


@pytest.mark.parametrize("flaw", ["0644", "empty", "link"])
def test_a_key_that_is_none_or_not_only_ours_starts_nothing(runs: Runs, tmp_path: Path, flaw: str) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    key = tmp_path / "data" / "secrets"
    key.write_text("" if flaw == "empty" else "k" * 43 + "=")
    key.chmod(0o644 if flaw == "0644" else 0o600)
    if flaw == "link":
        key.symlink_to(key.rename(tmp_path / "elsewhere"))

    said = refusal(runs("--port", str(free_port())), 2)

    assert str(key) in said
    assert "kkk" not in said
    assert not (tmp_path / "data" / "pg").exists()


def test_help_begins_with_examples_and_loads_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys; from messenger.run.api import main\n"
        "try: main(['-h'])\n"
        "except SystemExit as end: print(end.code, sorted({'aiohttp', 'sqlalchemy', 'gunicorn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(tmp_path, {}), capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "0 []"
    assert done.stdout.index("examples:") < done.stdout.index("--print-config")
    assert done.stdout.count("  messenger-api ") == 2


def test_versions_are_told(tmp_path: Path) -> None:
    done = in_earnest("messenger", "--version", folder=tmp_path, environment=environment(tmp_path, {}))

    assert re.fullmatch(r"messenger \S+ · Python \S+ · aiohttp \S+ · schema \S+\n", done.stdout)


def test_the_enabled_sub_apps_are_listed_with_their_routes(runs: Runs) -> None:
    done = runs("--apps", APPS="health,auth")

    assert done.returncode == 0
    assert re.search(r"^ 1  health +messenger +requires -", done.stdout, re.MULTILINE)
    assert "GET    /ping\n" in done.stdout
    assert "POST   /v1/auth/login\n" in done.stdout
    assert "/metrics" not in done.stdout


def test_settings_are_printed_with_their_source_and_without_secrets(runs: Runs, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("POSTGRES_PWD=planted-word\nWORKER_NUM=2\n")

    done = runs("--print-config", "--port", "81", SECRET_KEY="planted-key")

    assert done.returncode == 0
    assert re.search(r"^PORT +81 +flag +Port to listen on$", done.stdout, re.MULTILINE)
    assert re.search(r"^POSTGRES_PWD +\*{8} +\.env ", done.stdout, re.MULTILINE)
    assert "planted" not in done.stdout + done.stderr
    assert "did you mean WORKERS_NUM?" in done.stderr


def test_a_busy_port_names_who_has_it_and_the_next_one(runs: Runs, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        said = refusal(runs(HOST="127.0.0.1", PORT=str(port), APPS="health"), 5)

    owner = rf'used by "[^"]+" \(pid {os.getpid()}\)' if sys.platform == "linux" else "in use"
    assert re.fullmatch(rf"Port {port} is already {owner}\. Try: messenger-api --port \d+\n", said)
    assert not (tmp_path / "data" / "pg").exists()


def test_without_a_database_it_says_where_it_looked_and_why(runs: Runs) -> None:
    port = free_port()

    said = refusal(
        runs("--port", str(free_port()), DATABASE_URL=f"postgresql://ann:planted@127.0.0.1:{port}/chat", APPS="health"),
        3,
    )

    assert f"No database at 127.0.0.1:{port} as ann, database chat: nobody listens there." in said
    assert "DATABASE_URL" in said
    assert "planted" not in said


@pytest.fixture
def guarded_postgres(tmp_path: Path) -> Iterator[int]:
    """A PostgreSQL that wants passwords; the port."""
    folder, port = tmp_path / "guarded", free_port()
    binaries = choose(folder)
    (tmp_path / "word").write_text("right\n")
    subprocess.run(
        [*keeper.disguise(), binaries.initdb, "-D", str(folder), "-U", "ann", "--auth=scram-sha-256", "--no-sync"]
        + ["--locale=C", "--encoding=UTF8", f"--pwfile={tmp_path / 'word'}"],
        capture_output=True,
        check=True,
    )
    server = subprocess.Popen(
        [*keeper.disguise(), str(binaries.folder / "postgres"), "-D", str(folder), "-p", str(port), "-F"]
        + ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    async def knock() -> bool:
        try:
            await asyncpg.connect(f"postgresql://ann:wrong@127.0.0.1:{port}/postgres")
        except asyncpg.InvalidPasswordError:
            return True
        except (OSError, asyncpg.PostgresError):
            return False
        return False

    try:
        wait_for(lambda: asyncio.run(knock()))
        yield port
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(PATIENCE)


def test_a_wrong_password_is_called_that(runs: Runs, guarded_postgres: int) -> None:
    url = f"postgresql://ann:planted@127.0.0.1:{guarded_postgres}/postgres"

    said = refusal(runs("--port", str(free_port()), DATABASE_URL=url, APPS="health"), 3)

    assert (
        f'127.0.0.1:{guarded_postgres} as ann, database postgres: password authentication failed for user "ann"' in said
    )
    assert "planted" not in said


async def test_a_schema_of_another_time_is_left_alone(
    runs: Runs, postgres: str, dsn: str, sql: asyncpg.Connection
) -> None:
    def refused(url: str, code: int, **settings: str) -> str:
        return refusal(runs("--port", str(free_port()), DATABASE_URL=url, APPS="health", **settings), code)

    head = await sql.fetchval("select version_num from alembic_version")
    unmade = postgres.replace("/messenger?", "/template1?")
    assert f"Schema is at nothing, this version needs {head}. Run: messenger-db upgrade head" in refused(unmade, 4)

    await sql.execute("update alembic_version set version_num = 'from_tomorrow'")
    said = refused(dsn, 4)
    assert "Schema is at from_tomorrow" in said
    assert head in said

    await sql.execute("update alembic_version set version_num = '0008'")
    assert "made by a version from before the first release" in refused(dsn, 4)

    # The tests' server does not flush to disk, which nobody should run in earnest.
    key = quote("k" * 43 + "=", safe="=")
    assert "fsync=off" in refused(dsn, 3, MODE="production", SECRET_KEY=key)


def test_with_seed_demo_the_first_start_has_people_to_sign_in_as(starts: Starts) -> None:
    server = starts(is_forked=True, SEED_DEMO="1", NO_COLOR="1").wait_until_ready()
    body = json.dumps({"user_name": "test1@test.com", "password": "test"}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/v1/auth/login", data=body)

    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        assert answer.status == 200

    server.send(signal.SIGTERM)
    code, said = server.end()
    assert code == 0
    assert "Made 3 people, 3 chats, 9 messages" in said
    assert "open the page and register" not in said


def test_from_the_first_start_to_the_last_line(starts: Starts, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    server = starts("--workers", "2", NO_COLOR="1", TMPDIR=str(tmp_path / "tmp")).wait_until_ready()
    login = socket.create_connection(("127.0.0.1", server.port))
    body = json.dumps({"user_name": "nobody", "password": "whatever"}).encode()
    login.sendall(b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:5])
    assert server.get("/readyz") == 200
    assert any((tmp_path / "tmp").glob("messenger-metrics-*/*.db"))

    server.send(signal.SIGTERM)
    wait_for(lambda: not is_listening(server.port))
    login.sendall(body[5:])
    answer = login.makefile("rb").readline()
    login.close()
    code, said = server.end()

    assert answer.split()[1] == b"401"
    assert code == 0
    page = re.escape(f"http://127.0.0.1:{server.port}/")
    assert re.search(rf"for everybody who can reach this machine.*\s+Chat page +{page}\s", said), said
    assert f"http://127.0.0.1:{server.port}/docs" in said
    assert said.count("open the page and register; or messenger-admin seed makes demo people") == 1
    assert re.search(r"Ready in \d+\.\d s\. Ctrl\+C stops, twice forces\.", said)
    last = said.strip().splitlines()[-1]
    assert re.fullmatch(r"Stopping… 0 requests cut, database stopped\. \d+\.\d s", last)
    assert "Traceback" not in said
    assert "\x1b" not in said
    assert not any((tmp_path / "tmp").glob("messenger-metrics-*"))
    assert not (tmp_path / "data" / "pg" / "postmaster.pid").exists()
    events = logged(tmp_path)
    assert "ready" in events
    assert not [event for event in events if "rror" in event]
    assert "whatever" not in (tmp_path / "data" / "logs" / "debug.log").read_text()


def test_ctrl_c_twice_is_now(starts: Starts, tmp_path: Path) -> None:
    server = starts("--dev", GUNICORN_GRACEFUL_TIMEOUT="60").wait_until_ready()
    hanging = socket.create_connection(("127.0.0.1", server.port))
    hanging.sendall(b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
    assert server.get("/ping") == 200
    began = time.monotonic()

    os.killpg(server.process.pid, signal.SIGINT)  # a terminal tells the whole group
    wait_for(lambda: not is_listening(server.port))
    for _ in range(5):  # two that come at once are one to a process that had no time to look
        os.killpg(server.process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(3)
            break
    code, said = server.end()
    hanging.close()

    assert code == 0
    assert time.monotonic() - began < 10
    assert "for this machine only · mode dev" in said
    assert "1 request cut" in said.strip().splitlines()[-1]
    assert not [event for event in logged(tmp_path) if "rror" in event]


def test_servers_share_the_private_database_and_survive_each_other(starts: Starts, tmp_path: Path) -> None:
    first, second = starts(is_forked=True), starts(is_forked=True)
    first.wait_until_ready(), second.wait_until_ready()
    assert (first.get("/ping_db"), second.get("/ping_db")) == (200, 200)

    rival = starts(port=first.port, is_forked=True)
    code, said = rival.end()
    assert code == 5
    assert f"Port {first.port} is already" in said

    first.send(signal.SIGTERM)
    code, said = first.end()
    assert code == 0
    assert "database left to its other users" in said
    assert second.get("/ping_db") == 200

    # Everything dies at once: master, worker, PostgreSQL. The next start finds its way.
    pid = int((tmp_path / "data" / "pg" / "postmaster.pid").read_text().split()[0])
    os.killpg(second.process.pid, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    second.end()
    third = starts(is_forked=True).wait_until_ready()
    assert third.get("/ping_db") == 200

    # PostgreSQL alone dies: the server stays, and so does the next one that takes its place.
    pid = int((tmp_path / "data" / "pg" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    assert third.get("/ping") == 200
    wait_for(lambda: third.get("/ping_db") == 200)
    third.send(signal.SIGTERM)
    assert third.end()[0] == 0


def logged(home: Path) -> list[str]:
    return [json.loads(line)["event"] for line in (home / "data" / "logs" / "debug.log").read_text().splitlines()]


def is_listening(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("held", "fate"),
    [
        (fcntl.LOCK_SH, "database left to its other users"),
        (fcntl.LOCK_EX, "database still stopping"),  # as its keeper holds it meanwhile
        (fcntl.LOCK_UN, "database still stopping"),
    ],
)
def test_the_last_line_says_of_the_database_what_is_true_also_when_it_stops_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int, fate: str
) -> None:
    config = read({"DATA_DIR": str(tmp_path)})
    monkeypatch.setattr(serve, "LET_GO_SECONDS", 0.0)
    monkeypatch.setattr(serve, "STOP_SECONDS", 0.1)
    for file in (tmp_path / keeper.USERS_LOCK, tmp_path / keeper.CLUSTER / "postmaster.pid"):
        file.parent.mkdir()
        file.touch()

    with (tmp_path / keeper.USERS_LOCK).open() as lock:
        fcntl.flock(lock, held)
        assert serve.fate_of_database(config) == fate
        (tmp_path / keeper.CLUSTER / "postmaster.pid").unlink()
        assert serve.fate_of_database(config) == "database stopped"
