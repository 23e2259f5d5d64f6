"""Which schema a database has, which one this version needs, and the way from one to the other.

Other people's sub-apps bring a branch of their own: the folder `migrations` of a package with an entry point in
`messenger.apps`. All that is installed counts, listed in APPS or not: the schema does not change with toggles.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

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
NO_STEPS: Mapping[str, str] = MappingProxyType({})
MOVE_TABLE = "installation_move"  # made by `messenger-admin move`
READ = {
    "alembic_version": "select version_num from alembic_version",
    "schema_steps": "select revision, suits from schema_steps",
    MOVE_TABLE: f"select token, leaves, place, ended_at from {MOVE_TABLE}",
}
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
class Move:
    """The database is one of the two ends of a move, and nobody may be served from it."""

    token: str
    leaves: bool  # the old place; else the new one, whose move is not finished
    place: str  # the other one, for people
    ended_at: datetime | None

    @property
    def sentences(self) -> tuple[str, ...]:
        if not self.leaves:
            return (
                "A move into this database is not finished.",
                "Run it once more where it began: messenger-admin move",
            )
        undo = "To use this one all the same: messenger-admin move --undo"
        if self.ended_at is None:
            return f"This database is being moved to {self.place}.", "Run messenger-admin move once more.", undo
        return f"This database has moved to {self.place}: name that one in DATABASE_URL.", undo


@dataclass(frozen=True, slots=True)
class SchemaState:
    current: frozenset[str]
    heads: frozenset[str]
    unknown: frozenset[str]  # of a newer version, of a package that is gone, or from before the first release
    bearable: frozenset[str] = frozenset()  # of the unknown ones
    move: Move | None = None

    @property
    def is_unreleased(self) -> bool:
        return bool(self.unknown & UNRELEASED)

    @property
    def is_newer(self) -> bool:
        """A newer version made it; this one serves on it, unless it is ahead."""
        return bool(self.unknown) and not self.is_unreleased

    @property
    def is_ahead(self) -> bool:
        return self.is_newer and not self.unknown <= self.bearable

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
        versions, steps, moves = [
            await connection.fetch(select)
            if await connection.fetchval("select to_regclass($1) is not null", table)
            else []
            for table, select in READ.items()
        ]
    finally:
        await connection.close(timeout=5)
    return state_at(
        (row["version_num"] for row in versions),
        steps={row["revision"]: row["suits"] for row in steps},
        move=next((Move(**row) for row in moves), None),
    )


def state_at(found: Iterable[str], *, steps: Mapping[str, str] = NO_STEPS, move: Move | None = None) -> SchemaState:
    current, here = frozenset(found), revisions()
    unknown = current - here.known
    # Also the steps on the way to the present one: each of them has to suit.
    new = {revision: suits in here.known for revision, suits in steps.items() if revision not in here.known}
    bearable = frozenset(revision for revision in unknown if new.get(revision) and all(new.values()))
    return SchemaState(current, here.heads, unknown, bearable, move)


def upgrade(dsn: str) -> None:
    command.upgrade(alembic_config(dsn), "heads")


def upgrade_within(connection: Connection, revisions: Iterable[str]) -> None:
    """As a part of the transaction that the connection is in. `search_path` must be `public`."""
    config = alembic_config("")
    config.attributes[CONNECTION_ATTRIBUTE] = connection
    for revision in revisions:
        command.upgrade(config, revision)
