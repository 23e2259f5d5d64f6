"""Looks at everything around the server: one line for each thing, and for what is wrong, the way out.

Nothing is changed. What needs the database is left out when there is none.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from messenger.admin import house
from messenger.apps.health import helpers
from messenger.db import schema
from messenger.db.binaries import EmbeddedError
from messenger.settings import Config, Mode, SettingError
from messenger.start import DURABILITY, Refusal, check_database, check_settings

FILES = 4096  # every socket is an open file
FREE_BYTES, FREE_SHARE = 1 << 30, 0.05
CLOCK = 1.0  # seconds that the clocks may differ
PATIENCE = 5.0
OLD_PREPARED = "1 hour"  # one that nobody ends holds back every vacuum
EXTENSIONS = ("pg_trgm", "btree_gin")
CHANNEL = "messenger_doctor"

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


@dataclass(frozen=True, slots=True)
class Sign:
    """What was looked at, what was seen, and for what is wrong, what to do."""

    name: str
    ok: bool
    seen: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{'✔' if self.ok else '✖'} {self.name}: {self.seen}" + (f" → {self.remedy}" if self.remedy else "")


def run(options: argparse.Namespace) -> int:
    signs = []
    for sign in examine():
        signs.append(sign)
        if not options.json:
            print(sign, flush=True)
    if options.json:
        print(json.dumps({"healthy": all(one.ok for one in signs), "checks": [asdict(one) for one in signs]}))
    return 0 if all(one.ok for one in signs) else 1


def examine() -> Iterator[Sign]:
    try:
        config = house.configure()
        _check_settings(config)
    except SettingError as error:
        yield Sign("settings", False, str(error), "See all: messenger-api --print-config")
        return
    except Refusal as refusal:
        yield Sign("settings", False, refusal.sentences[0], "See all: messenger-api --print-config")
        return
    yield _settings(config)
    yield _keys(config)
    yield _files()
    yield from _disk(config)
    try:
        with house.database_of(config) as dsn:
            version, _ = check_database(config, dsn)
            yield Sign("database", True, f"PostgreSQL {version}")
            yield from asyncio.run(_all(_ask_database(config, dsn)))
    except EmbeddedError as error:
        yield Sign("database", False, *str(error).split("\n", 1))
    except Refusal as refusal:
        yield Sign("database", False, refusal.sentences[0], " ".join(refusal.sentences[1:2]))
    except AWAY as error:
        yield Sign("database", False, f"it went away meanwhile: {error or type(error).__name__}", "Look again")
    if config.redis_url:
        yield asyncio.run(_redis(str(config.redis_url)))
    if config.rmq_url:
        yield asyncio.run(_rabbitmq(str(config.rmq_url)))


async def _all(signs: AsyncIterator[Sign]) -> list[Sign]:
    return [sign async for sign in signs]


def _check_settings(config: Config) -> None:
    """As a start does it, but nothing is made: a key that is not there yet is none of the doctor's business."""
    if config.auth.secret_key or (config.data_dir / "secrets").exists():
        check_settings(config)


def _settings(config: Config) -> Sign:
    if config.warnings:
        return Sign("settings", False, config.warnings[0], "Correct or remove it")
    given = len(config.sources)
    return Sign("settings", True, f"MODE={config.mode.value}, {given} given, the rest defaults")


def _keys(config: Config) -> Sign:
    path = config.data_dir / "secrets"
    if config.auth.secret_key:
        source = config.sources["SECRET_KEY"]
        file = source.removeprefix("file ")
        return Sign("keys", True, f"SECRET_KEY ({source})") if file == source else _mode_of(Path(file))
    if not path.exists():
        return Sign("keys", True, f"{path} is made at the first start")
    return _mode_of(path)


def _mode_of(path: Path) -> Sign:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Sign("keys", False, f"{path} is open to others ({mode:04o})", f"chmod 600 {path}")
    return Sign("keys", True, f"{path} ({mode:04o})")


def _files() -> Sign:
    """A start raises the soft limit as far as the hard one lets it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < FILES:
        return Sign("open files", False, f"at most {hard}", f"Raise the hard limit to {FILES} or more (LimitNOFILE)")
    return Sign("open files", True, "no limit" if hard == resource.RLIM_INFINITY else f"at most {hard}")


def _disk(config: Config) -> Iterator[Sign]:
    """Of another machine's database that machine has to tell."""
    for name, folder in (("disk of DATA_DIR", config.data_dir), ("disk of the logs", config.log_dir)):
        there = next(one for one in (folder, *folder.parents) if one.exists())
        usage = shutil.disk_usage(there)
        seen = f"{usage.free / (1 << 30):.1f} GiB of {usage.total / (1 << 30):.1f} free at {folder}"
        is_full = usage.free < FREE_BYTES or usage.free < usage.total * FREE_SHARE
        yield Sign(name, not is_full, seen, "Make room: PostgreSQL stops when its disk is full" if is_full else "")


async def _ask_database(config: Config, dsn: str) -> AsyncIterator[Sign]:
    connection = await asyncpg.connect(dsn, timeout=PATIENCE, command_timeout=PATIENCE, statement_cache_size=0)
    try:
        for look in (_durability, _checksums, _standby, _clock, _extensions, _connections, _prepared):
            yield await look(config, connection)
    finally:
        connection.terminate()
    sign = await _schema(config, dsn)
    yield sign
    if sign.ok and config.mode is Mode.PRODUCTION:
        yield await _demo_people(dsn)
    if config.database.direct_url:
        yield await _pooler(config)
    if not config.redis_url or config.wire == "postgres":
        yield await _wire(config, dsn)


async def _durability(config: Config, connection: asyncpg.Connection) -> Sign:
    off = [name for name in DURABILITY if await connection.fetchval("select current_setting($1)", name) == "off"]
    if off:
        named = ", ".join(f"{name}=off" for name in off)
        remedy = f"ALTER SYSTEM SET {off[0]} = on; SELECT pg_reload_conf();"
        return Sign("durability", False, f"{named}: a power cut can lose acknowledged messages", remedy)
    return Sign("durability", True, ", ".join(f"{name} on" for name in DURABILITY))


async def _checksums(config: Config, connection: asyncpg.Connection) -> Sign:
    if await connection.fetchval("select current_setting('data_checksums')") != "on":
        return Sign(
            "checksums", False, "off: a rotten page is not noticed", "Stop PostgreSQL, then: pg_checksums --enable"
        )
    return Sign("checksums", True, "on")


async def _standby(config: Config, connection: asyncpg.Connection) -> Sign:
    if await connection.fetchval("select pg_is_in_recovery()"):
        return Sign("writable", False, "this is a standby", "Name the primary, or add target_session_attrs=read-write")
    return Sign("writable", True, "yes")


async def _clock(config: Config, connection: asyncpg.Connection) -> Sign:
    began = time.time()
    theirs = await connection.fetchval("select clock_timestamp()")
    ended = time.time()
    # Its clock was read some time between our two looks.
    there = theirs.astimezone(UTC)
    early, late = (datetime.fromtimestamp(moment, UTC) for moment in (began, ended))
    apart = max((there - late).total_seconds(), (early - there).total_seconds(), 0.0)
    if apart > CLOCK:
        return Sign("clock", False, f"{apart:.1f} s from the database's", "Run a time service on both machines")
    return Sign("clock", True, f"within {max(apart, ended - began):.3f} s of the database's")


async def _extensions(config: Config, connection: asyncpg.Connection) -> Sign:
    found = set(await connection.fetchval("select array_agg(extname::text) from pg_extension"))
    missing = [name for name in EXTENSIONS if name not in found]
    if missing:
        remedy = f"messenger-db upgrade head, or as the owner: create extension {missing[0]};"
        return Sign("extensions", False, f"{', '.join(missing)} not there", remedy)
    return Sign("extensions", True, ", ".join(EXTENSIONS))


async def _connections(config: Config, connection: asyncpg.Connection) -> Sign:
    """A worker's pool, and the few direct connections of its sender, tail, replays, wire and watch."""
    beside = 23
    wanted = config.server.workers_num * (config.database.pool_size + beside)
    most = int(await connection.fetchval("select current_setting('max_connections')"))
    if not config.database.direct_url and wanted > most:
        remedy = "Lower DB_POOL_SIZE or WORKERS_NUM, or raise max_connections"
        return Sign("connections", False, f"{wanted} may be wanted here, PostgreSQL has {most}", remedy)
    return Sign("connections", True, f"{wanted} may be wanted here, PostgreSQL has {most}")


async def _prepared(config: Config, connection: asyncpg.Connection) -> Sign:
    old = await connection.fetchval(
        "select min(gid) from pg_prepared_xacts where prepared < now() - cast($1::text as interval)", OLD_PREPARED
    )
    if old is not None:
        return Sign(
            "prepared transactions", False, f"{old!r} is older than {OLD_PREPARED}", f"rollback prepared '{old}';"
        )
    return Sign("prepared transactions", True, "none is old")


async def _schema(config: Config, dsn: str) -> Sign:
    state = await schema.state(dsn)
    current, head = (", ".join(sorted(some)) or "nothing" for some in (state.current, state.heads))
    if state.is_unreleased:
        return Sign("schema", False, f"at {current}, from before the first release", "Name an empty database")
    if state.is_ahead:
        return Sign("schema", False, f"at {current}, made by a newer version", "Start that version")
    if state.is_behind:
        return Sign("schema", False, f"at {current}, this version needs {head}", "messenger-db upgrade head")
    return Sign("schema", True, f"{current} (head)")


async def _demo_people(dsn: str) -> Sign:
    connection = await asyncpg.connect(dsn, timeout=PATIENCE, command_timeout=PATIENCE, statement_cache_size=0)
    try:
        there = await connection.fetchval("select count(*) from users where email_key like 'test_@test.com'")
    finally:
        connection.terminate()
    if there:
        return Sign(
            "demo people", False, f"{there} are there, with a password everybody knows", "Delete their accounts"
        )
    return Sign("demo people", True, "none")


async def _pooler(config: Config) -> Sign:
    """What requests go through: it has to lead to the same server."""
    return await _reached("pooler", lambda: _ping_postgres(config.database.dsn()), "Correct DATABASE_URL")


async def _ping_postgres(dsn: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=PATIENCE, command_timeout=PATIENCE, statement_cache_size=0)
    try:
        await connection.fetchval("select 1")
    finally:
        connection.terminate()


async def _wire(config: Config, dsn: str) -> Sign:
    if config.wire == "none":
        if config.server.workers_num > 1:
            return Sign("wire", False, "none, with several workers: news waits for the poll", "Set WIRE=auto")
        return Sign("wire", True, "none")
    return await _reached("wire", lambda: _notify(dsn), "LISTEN needs DATABASE_DIRECT_URL, past the pooler")


async def _notify(dsn: str) -> None:
    """There and back, over two connections as in earnest."""
    heard = asyncio.Event()
    word = os.urandom(8).hex()
    listener = await asyncpg.connect(dsn, timeout=PATIENCE, statement_cache_size=0)
    try:
        await listener.add_listener(CHANNEL, lambda *heard_of: heard.set() if heard_of[3] == word else None)
        speaker = await asyncpg.connect(dsn, timeout=PATIENCE, command_timeout=PATIENCE, statement_cache_size=0)
        try:
            await speaker.execute("select pg_notify($1, $2)", CHANNEL, word)
        finally:
            speaker.terminate()
        async with asyncio.timeout(PATIENCE):
            await heard.wait()
    finally:
        listener.terminate()


async def _redis(url: str) -> Sign:
    remedy = "Correct REDIS_URL, or unset it: PostgreSQL rings as well"
    return await _reached("redis", lambda: helpers.reach_redis(url, PATIENCE), remedy)


async def _rabbitmq(url: str) -> Sign:
    remedy = "Correct RMQ_URL, or unset it: the server does search tasks as well"
    return await _reached("rabbitmq", lambda: helpers.reach_rabbitmq(url, PATIENCE), remedy)


async def _reached(name: str, reach: Callable[[], Awaitable[None]], remedy: str) -> Sign:
    began = time.monotonic()
    try:
        await reach()
    except Exception as error:  # whatever a driver or a wrong address can come up with
        return Sign(name, False, f"it does not answer: {type(error).__name__}", remedy)
    return Sign(name, True, f"answered in {1000 * (time.monotonic() - began):.0f} ms")
