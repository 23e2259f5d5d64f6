"""What the tests of the schema share: a version after this one."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from messenger.db import schema
from messenger.db.migrations import script


@pytest.fixture
def read_anew() -> Iterator[None]:
    """A process reads its migrations once: where a test puts others in their place, it reads them before and after."""
    schema.revisions.cache_clear()
    yield
    schema.revisions.cache_clear()


@pytest.fixture
def later_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_anew: None) -> Path:
    """A copy of migrations and functions to add to, in the place of this version's."""
    later = tmp_path / "db"
    shutil.copytree(script.FUNCTIONS.parent, later)
    monkeypatch.setattr(schema, "MIGRATIONS", later / "migrations")
    monkeypatch.setattr(script, "FUNCTIONS", later / "functions")
    return later
