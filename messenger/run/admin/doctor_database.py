"""The doctor's checks of the database and of the connections to it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg

from messenger.db import schema
from messenger.run.admin.doctor_standbys import ask_standbys
from messenger.run.admin.finding import PATIENCE, Finding, reached
from messenger.run.checks import DURABILITY, find_unsafe
from messenger.settings import Config, Mode

CLOCK = 1.0  # seconds that the clocks may differ
OLD_PREPARED = "1 hour"  # a prepared transaction that nobody ends holds back every vacuum
EXTENSIONS = ("pg_trgm", "btree_gin")
CHANNEL = "messenger_doctor"
# Behind a proxy the address of the connection does not say who leads.
LEADER = """
    select coalesce(host(inet_server_addr()) || ':' || inet_server_port(), ''), timeline_id from pg_control_checkpoint()
"""


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, timeout=PATIENCE, command_timeout=PATIENCE, statement_cache_size=0)
    try:
        yield connection
    finally:
        connection.terminate()


async def ask_database(config: Config, dsn: str) -> AsyncIterator[Finding]:
    async with connected(dsn) as connection:
        for check in (_durability, _checksums, _standby, _clock, _extensions, _connections, _prepared):
            yield await check(config, connection)
        async for finding in ask_standbys(connection):
            yield finding
    finding = await _schema(config, dsn)
    yield finding
    if finding.ok and config.mode is Mode.PRODUCTION:
        yield await _demo_people(dsn)
    if config.database.direct_url:
        yield await _pooler(config)
    if not config.redis_url or config.wire == "postgres":
        yield await _wire(config, dsn)


async def _durability(config: Config, connection: asyncpg.Connection) -> Finding:
    off = await find_unsafe(connection)
    if off:
        named = ", ".join(f"{name}=off" for name in off)
        remedy = f"ALTER SYSTEM SET {off[0]} = on; SELECT pg_reload_conf();"
        return Finding("durability", False, f"{named}: a power cut can lose acknowledged messages", remedy)
    return Finding("durability", True, ", ".join(f"{name} on" for name in DURABILITY))


async def _checksums(config: Config, connection: asyncpg.Connection) -> Finding:
    if await connection.fetchval("select current_setting('data_checksums')") != "on":
        return Finding(
            "checksums", False, "off: a rotten page is not noticed", "Stop PostgreSQL, then: pg_checksums --enable"
        )
    return Finding("checksums", True, "on")


async def _standby(config: Config, connection: asyncpg.Connection) -> Finding:
    if await connection.fetchval("select pg_is_in_recovery()"):
        return Finding(
            "writable", False, "this is a standby", "Name the primary, or add target_session_attrs=read-write"
        )
    place, timeline = await connection.fetchrow(LEADER)
    return Finding("writable", True, f"yes{place and ', at ' + place}, timeline {timeline}")


async def _clock(config: Config, connection: asyncpg.Connection) -> Finding:
    began = time.time()
    theirs = await connection.fetchval("select clock_timestamp()")
    ended = time.time()
    # Its clock was read between our two readings.
    there = theirs.astimezone(UTC)
    early, late = (datetime.fromtimestamp(moment, UTC) for moment in (began, ended))
    apart = max((there - late).total_seconds(), (early - there).total_seconds(), 0.0)
    if apart > CLOCK:
        return Finding("clock", False, f"{apart:.1f} s from the database's", "Run a time service on both machines")
    return Finding("clock", True, f"within {max(apart, ended - began):.3f} s of the database's")


async def _extensions(config: Config, connection: asyncpg.Connection) -> Finding:
    found = set(await connection.fetchval("select array_agg(extname::text) from pg_extension"))
    missing = [name for name in EXTENSIONS if name not in found]
    if missing:
        remedy = f"messenger-db upgrade head, or as the owner: create extension {missing[0]};"
        return Finding("extensions", False, f"{', '.join(missing)} not there", remedy)
    return Finding("extensions", True, ", ".join(EXTENSIONS))


async def _connections(config: Config, connection: asyncpg.Connection) -> Finding:
    """A worker's pool, and the few direct connections of its sender, tail, replays, wire and watch."""
    beside = 23
    wanted = config.server.workers_num * (config.database.pool_size + beside)
    most = int(await connection.fetchval("select current_setting('max_connections')"))
    if not config.database.direct_url and wanted > most:
        remedy = "Lower DB_POOL_SIZE or WORKERS_NUM, or raise max_connections"
        return Finding("connections", False, f"{wanted} may be wanted here, PostgreSQL has {most}", remedy)
    return Finding("connections", True, f"{wanted} may be wanted here, PostgreSQL has {most}")


async def _prepared(config: Config, connection: asyncpg.Connection) -> Finding:
    old = await connection.fetchval(
        "select min(gid) from pg_prepared_xacts where prepared < now() - cast($1::text as interval)", OLD_PREPARED
    )
    if old is not None:
        return Finding(
            "prepared transactions", False, f"{old!r} is older than {OLD_PREPARED}", f"rollback prepared '{old}';"
        )
    return Finding("prepared transactions", True, "none is old")


async def _schema(config: Config, dsn: str) -> Finding:
    state = await schema.state(dsn)
    current, head = (", ".join(sorted(some)) or "nothing" for some in (state.current, state.heads))
    if state.is_unreleased:
        return Finding("schema", False, f"at {current}, from before the first release", "Name an empty database")
    if state.move is not None:
        return Finding("schema", False, *state.move.sentences[:2])
    if state.is_ahead:
        return Finding("schema", False, f"at {current}, made by a newer version", "Start that version")
    if state.is_behind:
        return Finding("schema", False, f"at {current}, this version needs {head}", "messenger-db upgrade head")
    return Finding("schema", True, f"{current} ({'newer' if state.is_newer else 'head'})")


async def _demo_people(dsn: str) -> Finding:
    async with connected(dsn) as connection:
        there = await connection.fetchval("select count(*) from users where email_key like 'test_@test.com'")
    if there:
        return Finding(
            "demo people", False, f"{there} are there, with a password everybody knows", "Delete their accounts"
        )
    return Finding("demo people", True, "none")


async def _pooler(config: Config) -> Finding:
    """What requests go through: it has to lead to the same server."""
    return await reached("pooler", lambda: _ping_postgres(config.database.dsn()), "Correct DATABASE_URL")


async def _ping_postgres(dsn: str) -> None:
    async with connected(dsn) as connection:
        await connection.fetchval("select 1")


async def _wire(config: Config, dsn: str) -> Finding:
    if config.wire == "none":
        if config.server.workers_num > 1:
            return Finding("wire", False, "none, with several workers: news waits for the poll", "Set WIRE=auto")
        return Finding("wire", True, "none")
    return await reached("wire", lambda: _notify(dsn), "LISTEN needs DATABASE_DIRECT_URL, past the pooler")


async def _notify(dsn: str) -> None:
    """A notification from one connection to another, as the server uses them."""
    heard = asyncio.Event()
    word = os.urandom(8).hex()
    async with connected(dsn) as listener:
        await listener.add_listener(CHANNEL, lambda *heard_of: heard.set() if heard_of[3] == word else None)
        async with connected(dsn) as speaker:
            await speaker.execute("select pg_notify($1, $2)", CHANNEL, word)
        async with asyncio.timeout(PATIENCE):
            await heard.wait()
