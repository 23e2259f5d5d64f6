"""What the peers need, at the versions named beside this file, in the user's cache and not beside the product."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
PATIENCE = 300.0


class NotInstalled(Exception):
    """This peer cannot be measured here; the reason is for the tables."""


def node_modules() -> tuple[str, Path]:
    """Node, and the folder where it finds socket.io."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NotInstalled("socket.io: Node and npm are not installed")

    def fill(folder: Path) -> None:
        shutil.copyfile(HERE / "package.json", folder / "package.json")
        run("socket.io", [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], folder)

    return node, made("npm", HERE / "package.json", fill) / "node_modules"


def python() -> Path:
    """An interpreter that has FastAPI."""
    requirements = HERE / "requirements.txt"

    def fill(folder: Path) -> None:
        run("FastAPI", [sys.executable, "-m", "venv", str(folder)], folder)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run("FastAPI", [*pip, "-r", str(requirements)], folder)

    return made(f"python-{sys.version_info.major}.{sys.version_info.minor}", requirements, fill) / "bin" / "python"


def made(name: str, pins: Path, fill: Callable[[Path], None]) -> Path:
    """Other pins are another folder. The note at the end says that a folder is whole."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "messenger-bench"
    folder = cache / f"{name}-{hashlib.sha256(pins.read_bytes()).hexdigest()[:12]}"
    note = folder / "whole"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be at it
        if not note.exists():
            print(f"installing what {pins.name} names into {folder}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fill(folder)
            note.touch()
    return folder


def run(peer: str, command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{peer}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise NotInstalled(f"{peer}: could not be installed: {said[-1]}")
