"""What must be true before the server listens, checked in an order that changes nothing until it may.

Each check returns what later steps need, or raises Refusal: an exit code and at most three lines, the last a way out.
"""

import asyncio
import errno
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from messenger.run.cli import NO_DATABASE, PORT_BUSY, SCHEMA, USAGE, Refusal
from messenger.settings import Config, Mode, SettingError

if TYPE_CHECKING:
    import asyncpg

    from messenger.subapp import Placed

DURABILITY = ("fsync", "synchronous_commit", "full_page_writes")
PORTS_TRIED = 20
LAST_PORT = 65535
TCP_LISTEN = "0A"


def check_settings(config: Config) -> list[str]:
    """Everything the settings can get wrong before a port or a database is touched; the sub-apps in their order."""
    from messenger.web.clients import proxies  # noqa: PLC0415  (--help must not wait for it)

    try:
        proxies(config.server.trusted_proxies)
    except ValueError as error:
        raise SettingError(f"TRUSTED_PROXIES: {error}; addresses, networks or unix are expected.") from None
    placed = arranged(config)
    if "auth" in config.apps:
        from messenger.apps.auth.secret_keys import load_keys  # noqa: PLC0415

        load_keys(config)
    return [one.app.name for one in placed]


def arranged(config: Config) -> "list[Placed]":
    from messenger.subapp import ArrangementError, load  # noqa: PLC0415

    try:
        return load(config.served_apps)
    except ArrangementError as error:
        raise Refusal(USAGE, str(error), "See what is set: messenger-api --print-config") from None


def check_redis(config: Config) -> None:
    """One that is away will come back; a cluster will never do."""
    if not config.redis_url:
        return
    from redis import Redis  # noqa: PLC0415
    from redis.exceptions import RedisError  # noqa: PLC0415

    client: Redis[bytes] = Redis.from_url(str(config.redis_url), socket_timeout=1, socket_connect_timeout=1)
    with suppress(RedisError, OSError), client:
        if client.info("cluster").get("cluster_enabled"):
            raise Refusal(
                USAGE, "REDIS_URL leads to a Redis Cluster, which shares neither limits nor pages: name a single Redis."
            )


def take_port(host: str, port: int, backlog: int) -> socket.socket:
    """Listen at once: between a mere look and the real thing somebody else could come."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise Refusal(USAGE, f"HOST={host!r} is not an address of this machine.", "Try: HOST=127.0.0.1") from None
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise _refuse_port(host, port, error) from None
    return listener


def _refuse_port(host: str, port: int, error: OSError) -> Refusal:
    if error.errno == errno.EADDRINUSE:
        owner = _owner(port)
        used = f'used by "{owner[0]}" (pid {owner[1]})' if owner else "in use"
        return Refusal(
            PORT_BUSY, f"Port {port} is already {used}. Try: messenger-api --port {_free_port(host, port + 1)}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return Refusal(USAGE, f"HOST={host!r} is not an address of this machine.", "Try: HOST=127.0.0.1")
    remedy = f"Try: messenger-api --port {_free_port(host, 8080)}"
    return Refusal(PORT_BUSY, f"Port {port} cannot be used: {error.strerror}. {remedy}")


def _free_port(host: str, first: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(first, min(first + PORTS_TRIED, LAST_PORT)):
        with suppress(OSError), socket.create_server((host, port), family=family):
            return port
    return first


def _owner(port: int) -> tuple[str, int] | None:
    """Who listens there, where the system lets us see it (Linux)."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*") if sockets else ():
        with suppress(OSError):
            if any(os.readlink(fd) in sockets for fd in (process / "fd").iterdir()):
                return (process / "comm").read_text().strip(), int(process.name)
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == TCP_LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                    yield columns[9]


def check_database(
    config: Config, dsn: str, named: str = "DATABASE_URL (or POSTGRES_*), or unset it to use a private PostgreSQL"
) -> tuple[str, list[str]]:
    """The server's version, and what makes it forgetful. Raises Refusal when nobody can sign in there."""
    try:
        version, unsafe = asyncio.run(_look(dsn))
    except Exception as error:  # whatever a driver, a name server or a wrong URL can come up with
        raise Refusal(
            NO_DATABASE,
            f"No database at {_place(dsn)}: {_plain(error)}",
            f"Correct {named}.",
            "See what is set: messenger-api --print-config",
        ) from None
    if unsafe and config.mode is Mode.PRODUCTION:
        settings = ", ".join(f"{name}=off" for name in unsafe)
        raise Refusal(
            NO_DATABASE,
            f"PostgreSQL runs with {settings}: an acknowledged message could be lost.",
            f"MODE=production refuses that. Run there: ALTER SYSTEM SET {unsafe[0]} = on; SELECT pg_reload_conf();",
        )
    return version, unsafe


async def _look(dsn: str) -> tuple[str, list[str]]:
    async with _connected(dsn) as connection:
        version = await connection.fetchval("select current_setting('server_version')")
        return str(version).split()[0], await find_unsafe(connection)


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator["asyncpg.Connection"]:
    import asyncpg  # noqa: PLC0415

    connection = await asyncpg.connect(dsn, timeout=5, command_timeout=5, statement_cache_size=0)
    try:
        yield connection
    finally:
        connection.terminate()


def has_accounts(dsn: str) -> bool:
    """Can anybody sign in? Of a database whose schema fits."""

    async def ask() -> bool:
        async with _connected(dsn) as connection:
            return bool(await connection.fetchval("select exists (select from users where name_key is not null)"))

    return asyncio.run(ask())


async def find_unsafe(connection: "asyncpg.Connection") -> list[str]:
    """The settings without which an acknowledged message can be lost, where they are off."""
    return [name for name in DURABILITY if await connection.fetchval("select current_setting($1)", name) == "off"]


def _place(dsn: str) -> str:
    """Host, port and user as they would be used; never the password."""
    try:
        parts = urlsplit(dsn)
        where = parts.netloc.rpartition("@")[2] or "the local socket"
        user = f" as {unquote(parts.username)}" if parts.username else ""
        name = unquote(parts.path.lstrip("/"))
    except ValueError:
        return "that address"
    port = "" if re.search(r":\d+$", where) or "," in where or not parts.netloc else ":5432"
    return f"{where}{port}{user}" + (f", database {name}" if name else "")


def _plain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer."
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return "nobody listens there."
    if isinstance(error, socket.gaierror):
        return "there is no such host."
    said = (str(error).splitlines() or [""])[0] or type(error).__name__
    return said[:200].rstrip(".") + "."


def check_schema(config: Config, dsn: str) -> str:
    """Bring the schema to this version where that is wanted, else say who has to; its revision."""
    from messenger.db import schema  # noqa: PLC0415

    try:
        found = asyncio.run(schema.state(dsn))
        if found.is_behind and found.move is None and config.migrates_on_start:
            schema.upgrade(dsn)
            found = asyncio.run(schema.state(dsn))
    except Exception as error:
        raise Refusal(
            SCHEMA, f"The schema cannot be brought up: {_plain(error)}", "Run: messenger-db upgrade head"
        ) from error
    head = ", ".join(sorted(found.heads))
    if found.is_unreleased:
        raise Refusal(SCHEMA, schema.UNRELEASED_REFUSAL)
    if found.move is not None:
        raise Refusal(SCHEMA, *found.move.sentences)
    if found.is_ahead:
        raise Refusal(
            SCHEMA,
            f"Schema is at {', '.join(sorted(found.unknown))}, this version knows up to {head}: a newer one made it.",
            "Start that version again, or restore the backup made before it.",
        )
    if found.is_behind:
        current = ", ".join(sorted(found.current)) or "nothing"
        raise Refusal(SCHEMA, f"Schema is at {current}, this version needs {head}. Run: messenger-db upgrade head")
    return f"{', '.join(sorted(found.current))} ({'newer' if found.is_newer else 'head'})"
