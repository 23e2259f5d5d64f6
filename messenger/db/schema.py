"""Which schema a database has, which one this version needs, and the way from one to the other.

Other people's sub-apps bring a branch of their own: the folder `migrations` of a package with an entry point in
`messenger.apps`. All that is installed counts, listed in APPS or not: the schema does not change with toggles.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from messenger import ENTRY_POINTS

DSN_ATTRIBUTE = "messenger_dsn"
CONNECTION_ATTRIBUTE = "messenger_connection"
MIGRATION_LOCK = 7236836  # any number that nobody else takes
MIGRATIONS = Path(__file__).parent / "migrations"
UNRELEASED = frozenset(f"000{number}" for number in range(1, 9))  # revisions; the first released one is 1000
UNRELEASED_REFUSAL = (
    "This database was made by a version from before the first release, and its data cannot be carried over:"
    " name an empty database, or an empty DATA_DIR."
)


class UnreleasedSchema(CommandError):
    def __init__(self) -> None:
        super().__init__(UNRELEASED_REFUSAL)


@dataclass(frozen=True, slots=True)
class Revisions:
    """What this version has migrations for."""

    known: frozenset[str]
    heads: frozenset[str]


@dataclass(frozen=True, slots=True)
class SchemaState:
    current: frozenset[str]
    heads: frozenset[str]
    unknown: frozenset[str]  # of a newer version, of a package that is gone, or from before the first release

    @property
    def is_unreleased(self) -> bool:
        return bool(self.unknown & UNRELEASED)

    @property
    def is_ahead(self) -> bool:
        return bool(self.unknown) and not self.is_unreleased

    @property
    def is_behind(self) -> bool:
        return not self.unknown and not self.heads <= self.current


def alembic_config(dsn: str) -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    places = [MIGRATIONS / "versions", *foreign_migrations()]
    config.set_main_option("version_locations", "\n".join(str(place).replace("%", "%%") for place in places))
    config.attributes[DSN_ATTRIBUTE] = dsn
    return config


def foreign_migrations() -> Iterator[Path]:
    for package in sorted({entry.module.partition(".")[0] for entry in entry_points(group=ENTRY_POINTS)}):
        spec = find_spec(package)  # finds a top-level package without importing it
        for place in (spec.submodule_search_locations if spec else None) or ():
            if (Path(place) / "migrations").is_dir() and package != "messenger":
                yield Path(place) / "migrations"


@cache
def revisions() -> Revisions:
    """Executes every migration's file, once in a process: what is installed does not change while it runs."""
    scripts = ScriptDirectory.from_config(alembic_config(""))
    return Revisions(frozenset(one.revision for one in scripts.walk_revisions()), frozenset(scripts.get_heads()))


async def state(dsn: str) -> SchemaState:
    connection = await asyncpg.connect(dsn, timeout=5, statement_cache_size=0)
    try:
        exists = await connection.fetchval("select to_regclass('alembic_version') is not null")
        rows = await connection.fetch("select version_num from alembic_version") if exists else []
    finally:
        await connection.close(timeout=5)
    return state_at(row["version_num"] for row in rows)


def state_at(found: Iterable[str]) -> SchemaState:
    current, here = frozenset(found), revisions()
    return SchemaState(current, here.heads, current - here.known)


def upgrade(dsn: str) -> None:
    command.upgrade(alembic_config(dsn), "heads")


def upgrade_within(connection: Connection, revisions: Iterable[str]) -> None:
    """As a part of the transaction that the connection is in. `search_path` must be `public`."""
    config = alembic_config("")
    config.attributes[CONNECTION_ATTRIBUTE] = connection
    for revision in revisions:
        command.upgrade(config, revision)
