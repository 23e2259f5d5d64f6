"""Commands in processes forked from one that has everything loaded: most of a short command is its imports.

At least one test of each program starts it in earnest, as `python -m`.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from threading import Lock

Main = Callable[[Sequence[str]], object]
Done = subprocess.CompletedProcess[str]

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(
    ["messenger.run.admin.seed", "messenger.run.admin.fsck", "messenger.run.admin.doctor", "messenger.run.db"]
)
# Starting one looks whether others are over, and an end can be read once only.
STARTING = Lock()


def forked(main: Main, *arguments: str, folder: Path, environment: dict[str, str], stdin: str = "") -> Done:
    """Wait for `main` in a process with this folder and nothing but this environment."""
    with tempfile.TemporaryDirectory() as place:
        files = [Path(place, name) for name in ("stdin", "stdout", "stderr")]
        files[0].write_text(stdin)
        with STARTING:
            process = FORKING.Process(target=_act, args=(main, arguments, folder, environment, files))
            process.start()
        is_over = wait([process.sentinel], PATIENCE)
        with STARTING:
            if not is_over:
                process.kill()
            process.join()
        assert is_over, f"{arguments} did not end: {files[2].read_text()}"
        assert process.exitcode is not None
        return Done(arguments, process.exitcode, files[1].read_text(), files[2].read_text())


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


def _act(main: Main, arguments: Sequence[str], folder: Path, environment: dict[str, str], files: list[Path]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, (file, flags) in enumerate(zip(files, (os.O_RDONLY, *[os.O_WRONLY | os.O_CREAT] * 2), strict=True)):
        os.dup2(os.open(file, flags), number)
    sys.stdin = open(0, closefd=False)  # that of a forked process leads nowhere
    main(arguments)
