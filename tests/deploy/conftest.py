"""What is deployed is tried with the programs that will run it; where one is missing, its tests are skipped by name."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Program = Callable[[str], str]

# What pip installed, and servers, which Debian keeps where only root looks.
WHERE = (str(Path(sys.executable).parent), "/usr/local/sbin", "/usr/sbin", "/sbin")


@pytest.fixture(scope="session")
def program() -> Program:
    """The path of a program, or a skip that names it."""

    def find(name: str) -> str:
        found = shutil.which(name) or next(
            (str(Path(folder, name)) for folder in WHERE if Path(folder, name).exists()), None
        )
        if found is None:
            pytest.skip(f"{name} is not installed")
        return found

    return find
