"""Commands and servers in processes forked from one that has everything loaded: most of a short command is its imports.

At least one test of each program starts it in earnest, as `python -m`.
"""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from pkgutil import iter_modules
from threading import Lock

from argon2 import PasswordHasher

from messenger import apps
from messenger.apps.auth import passwords
from messenger.db import driver, liveness
from messenger.log import appender
from messenger.run import api, consumer
from proof.lab.processes import Program

Main = Callable[[Sequence[str]], object]
Done = subprocess.CompletedProcess[str]

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0
WRITING = os.O_WRONLY | os.O_CREAT | os.O_APPEND
SERVERS: dict[str, Main] = {"messenger": api.main, "messenger.run.consumer": consumer.main}
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(
    [
        "tests.commands",
        "messenger.run.admin.seed",
        "messenger.run.admin.fsck",
        "messenger.run.admin.doctor",
        "messenger.run.db",
    ]
    + ["messenger.run.serve", "messenger.run.master", "messenger.web.server"]
    # A server's metrics decide by its environment, when they are imported, where they are kept.
    + [f"messenger.apps.{one.name}" for one in iter_modules(apps.__path__) if one.name != "metrics"]
)
# People of the tests sign in a thousand times; in earnest a hash takes 20 ms and 19 MiB.
HASHER, passwords.HASHER = passwords.HASHER, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
# Starting one looks whether others are over, and an end can be read once only.
STARTING = Lock()


class Forked:
    """Leads a session of its own, and has what is used here of a `subprocess.Popen`."""

    def __init__(
        self, main: Main, arguments: Sequence[str], folder: Path, environment: dict[str, str], files: list[Path]
    ) -> None:
        """`files`: what it reads, what it says and what it complains about."""
        given = (main, arguments, folder, environment, files, patience())
        # A daemon: what a test has left behind ends with the run.
        self._process = FORKING.Process(target=_act, args=given, daemon=True)
        with STARTING:
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        with suppress(ProcessLookupError):  # it is over already
            while os.getpgid(self.pid) != self.pid:  # whoever kills its group finds it
                time.sleep(0.001)

    @property
    def returncode(self) -> int | None:
        with STARTING:
            return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not wait([self._process.sentinel], timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        code = self.returncode
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def forked(main: Main, *arguments: str, folder: Path, environment: dict[str, str], stdin: str = "") -> Done:
    """Wait for `main` in a process with this folder and nothing but this environment."""
    with tempfile.TemporaryDirectory() as place:
        files = [Path(place, name) for name in ("stdin", "stdout", "stderr")]
        files[0].write_text(stdin)
        process = Forked(main, arguments, folder, environment, files)
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{arguments} did not end: {files[2].read_text()}") from None
        return Done(arguments, code, files[1].read_text(), files[2].read_text())


def spawn_forked(
    self: Program, command: Sequence[str], printed: Path, environment: dict[str, str], folder: Path | None = None
) -> None:
    """How the servers of a test begin; another program is run as it is."""
    main = SERVERS.get(command[-1])
    if main is None or folder is None or list(command) != [sys.executable, "-m", command[-1]]:
        return SPAWN(self, command, printed, environment, folder)
    self.popen = Forked(main, [], folder, environment, [Path(os.devnull), printed, printed])  # type: ignore[assignment]


SPAWN = Program.spawn


def in_earnest(module: str, *arguments: str, folder: Path, environment: dict[str, str], stdin: str = "") -> Done:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def patience() -> tuple[float, ...]:
    """How long a server waits for its database."""
    return driver.CONNECT_TIMEOUT, liveness.PATIENCE, appender.PATIENCE


def set_patience(connecting: float, listening: float, appending: float) -> None:
    driver.CONNECT_TIMEOUT, liveness.PATIENCE, appender.PATIENCE = connecting, listening, appending


def _act(
    main: Main,
    arguments: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    files: list[Path],
    waits: tuple[float, ...],
) -> None:
    set_patience(*waits)
    gc.freeze()  # what is inherited is not looked at, so that its memory stays shared
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, (file, flags) in enumerate(zip(files, (os.O_RDONLY, WRITING, WRITING), strict=True)):
        os.dup2(os.open(file, flags), number)
    os.setsid()  # who began this may let go of the files now
    sys.stdin = open(0, closefd=False)  # that of a forked process leads nowhere
    main(arguments)
