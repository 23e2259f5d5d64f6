"""Real server processes, and what may be done to them: start, kill, restart."""

import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Self

import aiohttp
import psutil  # type: ignore[import-untyped]

import messenger
from proof.lab.waiting import PATIENCE, STEP, happens

ROOT = Path(messenger.__file__).parent.parent
# Counted, and never too much: what is measured is what people use, with nobody held back.
UNLIMITED = {"THROTTLE_SEND": "100000000/100000000s", "THROTTLE_DEFAULT": "100000000/100000000s"}
PORTS = range(15_000, 32_000)
PORT_COUNTER = Path(tempfile.gettempdir()) / f"messenger-ports-{os.getuid()}"
AWAY = (aiohttp.ClientError, OSError, TimeoutError)


def free_port() -> int:
    """Nobody else gets it while its server is down: the kernel gives higher ones to those who connect, and all
    programs of one person count on in one file."""
    with PORT_COUNTER.open("a+") as counter:
        fcntl.flock(counter, fcntl.LOCK_EX)
        counter.seek(0)
        last = int(counter.read() or random.choice(PORTS))
        for port in chain(range(last + 1, PORTS.stop), PORTS):
            with suppress(OSError), socket.create_server(("127.0.0.1", port)):
                counter.truncate(0)
                counter.write(str(port))
                return port
    raise RuntimeError("no port is free")


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME", "LANG"))}


def end_all(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=5)


@contextmanager
def frozen(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """SIGSTOP, and SIGCONT whatever happens."""

    def tell(number: int) -> None:
        for one in processes:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(number)

    tell(signal.SIGSTOP)
    try:
        yield
    finally:
        tell(signal.SIGCONT)


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it; children first, so that none of them is adopted and forgotten."""
    with suppress(psutil.NoSuchProcess):
        return [*process.children(recursive=True), process]
    return []


def has_ended(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True


def is_in_group(process: psutil.Process, group: int) -> bool:
    """What leads a group of its own lives on: so does the keeper of a private PostgreSQL."""
    with suppress(ProcessLookupError):
        return os.getpgid(process.pid) == group
    return False


def processes_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if not has_ended(process) and any(str(folder) in word for word in process.cmdline()):
                found.append(process)
    return found


class Program:
    """Runs in a process group of its own; what it prints is kept in a file."""

    popen: subprocess.Popen[bytes] | None = None

    def spawn(
        self, command: Sequence[str], printed: Path, environment: dict[str, str], folder: Path | None = None
    ) -> None:
        with printed.open("ab") as said:
            self.popen = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True,
            )  # fmt: skip

    @property
    def is_running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def processes(self) -> list[psutil.Process]:
        """It and all below it."""
        return family(psutil.Process(self.popen.pid)) if self.popen is not None and self.is_running else []

    def kill(self) -> None:
        """The whole group at once: a master would replace a worker that ends before it. Then nobody holds its port."""
        if self.popen is not None:
            group = [one for one in self.processes() if is_in_group(one, self.popen.pid)]
            with suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()
            until = time.monotonic() + PATIENCE
            while not all(map(has_ended, group)) and time.monotonic() < until:
                time.sleep(STEP)


class Process(Program):
    """One `messenger-api`: a master and its workers."""

    module = "messenger"

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = settings

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

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
        command = [sys.executable, "-m", self.module]
        self.spawn(command, self.folder / f"said-{self.port}", environment, self.folder)
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
