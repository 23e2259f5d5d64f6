"""Moves the installation into another database, and closes the old one.

First the old database is marked and read-only: no server starts on it, and whoever connects cannot write. So it does
not change any more, and what an interrupted run has copied is still right at the next one. Positions stay what they
were, and the first server to write in the new place begins a new epoch there: cursors go on, and if the old database is
used again after all, neither can be taken for the other.
"""

import argparse
import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from messenger.db import schema
from messenger.db.database import translated
from messenger.db.schema import MOVE_TABLE, Move
from messenger.run.admin import context, copying, fsck
from messenger.run.admin.copying import MOVE_PARTS, Part
from messenger.run.admin.doctor_database import EXTENSIONS
from messenger.run.admin.progress import ProgressLine, size
from messenger.run.checks import check_database, check_schema
from messenger.run.cli import OTHER, SCHEMA, USAGE, Refusal
from messenger.settings import Config, SecretUrl

STEP = 2048  # blocks of a table in one transaction: 16 MiB
PIECES = 16  # that are read ahead
MARK = f"""
    create table {MOVE_TABLE} (
        token text primary key, leaves boolean not null, place text not null, ended_at timestamptz)
    """
PARTS = f"create table {MOVE_PARTS} (name text primary key, blocks bigint not null)"
READ_ONLY = "do $$ begin execute format('alter database %I {}', current_database()); end $$"
CLOSE = READ_ONLY.format("set default_transaction_read_only = on")
OPEN = READ_ONLY.format("reset default_transaction_read_only")
IS_OWNER = "select pg_has_role(current_user, datdba, 'usage') from pg_database where datname = current_database()"
HERE = """
    select (select system_identifier from pg_control_system())::text || '/' || oid from pg_database
     where datname = current_database()
    """
BLOCKS = "select pg_relation_size($1::text::regclass) / current_setting('block_size')::bigint"
FITNESS = """
    select current_setting('server_encoding') as encoding, lower('Ж') = 'ж' as knows_letters,
           array(select x from unnest($1::text[]) x
                  where x not in (select name from pg_available_extensions)) as missing
    """
UNDO = """\
The installation has moved to {place}. If it is served from here again as well, they are two from now on:
what is said in one of them is not in the other."""


def run(options: argparse.Namespace) -> int:
    if options.undo:
        return context.run_with_database(lambda config, dsn: undo(dsn, is_sure=options.yes), needs_schema=False)
    target = _target(options.to, options.to_file)

    async def work(config: Config, dsn: str) -> int:
        with translated():
            await move(config, dsn, target)
        return 0

    try:
        return context.run_with_database(work, needs_schema=False)
    except KeyboardInterrupt:
        raise Refusal(
            OTHER, "Interrupted; the same command goes on from here.", "To give it up: messenger-admin move --undo"
        ) from None


async def move(config: Config, source: str, target: str) -> None:
    began = time.monotonic()
    place = SecretUrl(target).masked
    if (await schema.state(source)).move is None:
        await asyncio.to_thread(check_schema, config, source)
    found = await schema.state(source)
    if found.current != found.heads:
        raise Refusal(SCHEMA, "The schema is not of this version.", "Move with the version that made it, then upgrade.")
    await asyncio.to_thread(check_database, config, target, "--to")
    async with _connected(source) as old, _connected(target) as new:
        if await old.fetchval(HERE) == await new.fetchval(HERE):
            raise Refusal(USAGE, f"{place} is the database that is to be moved.", "Name another one.")
        await refuse_unfit(new)
        begun, entered = found.move, (await schema.state(target)).move
        if begun is None or entered is None or entered.token != begun.token:
            if begun is not None and begun.ended_at is not None:
                raise Refusal(SCHEMA, *begun.sentences)
            await copying.refuse_something(new, "Name an empty one; what a move that was undone left must be removed.")
        token = await leave(old, place, begun)
        if entered is None:
            await enter(old, target, token)
        parts, strange = await divide(old, new)
        if strange:
            print(f"Left where it is: {', '.join(strange)}; no migration makes such a table.", file=sys.stderr)
        rows = await copy(old, new, parts)
        await verify(old, new, parts)
        await compare_damage(source, target)
        # In this order: between the two, neither of them is served.
        await old.execute(f"update {MOVE_TABLE} set ended_at = clock_timestamp()")
        await new.execute(f"drop table {MOVE_PARTS}, {MOVE_TABLE}")
        total = await new.fetchval("select pg_database_size(current_database())")
    print(
        f"Moved {rows} rows, {size(total)} there; nothing differs, and fsck finds nothing new. "
        f"{time.monotonic() - began:.1f} s\n"
        f"Start the servers with DATABASE_URL={place}\n"
        "The old database says so to who starts on it. Search is complete when a server has read the messages again."
    )


async def refuse_unfit(new: asyncpg.Connection) -> None:
    fitness = await new.fetchrow(FITNESS, list(EXTENSIONS))
    if fitness["encoding"] != "UTF8" or not fitness["knows_letters"]:
        raise Refusal(
            OTHER,
            f"The new database has the encoding {fitness['encoding']}, or a locale that knows only English letters.",
            "Make it so: create database … encoding 'UTF8' locale 'C.UTF-8' template template0;",
        )
    if fitness["missing"]:
        raise Refusal(
            OTHER,
            f"PostgreSQL there lacks the extension {', '.join(fitness['missing'])}.",
            "Install its package of extensions (postgresql-contrib).",
        )


async def leave(old: asyncpg.Connection, place: str, begun: Move | None) -> str:
    """Closes the old database, or goes on with what has been begun; the token of this move."""
    await copying.refuse_others(old)
    if begun is not None:
        await old.execute(f"update {MOVE_TABLE} set place = $1", place)
        return begun.token
    if not await old.fetchval(IS_OWNER):
        raise Refusal(OTHER, "Only the owner of a database can close it.", "Run it as that role.")
    token = secrets.token_hex(8)
    async with old.transaction():
        await old.execute(MARK)
        await old.execute(f"insert into {MOVE_TABLE} values ($1, true, $2)", token, place)
        await old.execute(CLOSE)
    try:
        await copying.refuse_others(old)  # who came in between may still write
    except Refusal:
        await _reopen(old)
        raise
    return token


async def enter(old: asyncpg.Connection, target: str, token: str) -> None:
    """The same schema, empty, and a note that it is not whole: all at once."""
    revisions = [row[0] for row in await old.fetch("select version_num from alembic_version order by 1")]
    async with copying.filling(target, "move") as (connection, new):
        await copying.refuse_something(new, "Name an empty one.")
        await connection.run_sync(schema.upgrade_within, revisions)
        await copying.make_room(new, await copying.find_parts(new))
        await new.execute(MARK)
        await new.execute(f"insert into {MOVE_TABLE} values ($1, false, 'here')", token)
        await new.execute(PARTS)


async def divide(old: asyncpg.Connection, new: asyncpg.Connection) -> tuple[list[Part], list[str]]:
    """What moves, and what does not: tables of other applications."""
    parts, there = await copying.find_parts(old), {part.name for part in await copying.find_parts(new)}
    return [part for part in parts if part.name in there], [part.name for part in parts if part.name not in there]


async def copy(old: asyncpg.Connection, new: asyncpg.Connection, parts: Sequence[Part]) -> int:
    blocks = {part.name: await old.fetchval(BLOCKS, copying.named(part.name)) for part in parts}
    done = {row["name"]: row["blocks"] for row in await new.fetch(f"select name, blocks from {MOVE_PARTS}")}
    bytes_of_block = int(await old.fetchval("select current_setting('block_size')"))
    with ProgressLine(bytes_of_block * sum(blocks.values()), "moving") as progress:
        progress.begin_at(bytes_of_block * sum(done.values()))
        for part in parts:
            for first in range(done.get(part.name, 0), blocks[part.name], STEP):
                after = min(first + STEP, blocks[part.name])
                async with new.transaction():
                    await _copy_blocks(old, new, part, first, after)
                    await new.execute(
                        f"insert into {MOVE_PARTS} values ($1, $2) on conflict (name) do update set blocks = $2",
                        part.name,
                        after,
                    )
                progress.add(bytes_of_block * (after - first))
    async with new.transaction():
        await copying.settle(new, parts, await copying.find_sequences(old))
    return sum([await copying.count_rows(new, part) for part in parts])


async def _copy_blocks(old: asyncpg.Connection, new: asyncpg.Connection, part: Part, first: int, after: int) -> None:
    rows = f"{part.rows} and ctid >= '({first},0)' and ctid < '({after},0)'"
    pieces: asyncio.Queue[bytes] = asyncio.Queue(PIECES)

    async def read() -> None:
        await old.copy_from_query(rows, output=pieces.put)
        await pieces.put(b"")

    async def arriving() -> AsyncIterator[bytes]:
        while piece := await pieces.get():
            yield piece

    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(read())
            both.create_task(copying.write_rows(new, part, arriving()))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def verify(old: asyncpg.Connection, new: asyncpg.Connection, parts: Sequence[Part]) -> None:
    for part in parts:
        here, there = await copying.count_rows(old, part), await copying.count_rows(new, part)
        if here != there:
            raise _different(f"{part.name} has {here} rows here and {there} there")
    if await old.fetchrow(copying.HEAD) != await new.fetchrow(copying.HEAD):
        raise _different("the log ends elsewhere")


async def compare_damage(source: str, target: str) -> None:
    damage = {one.kind.name: one.count for one in await fsck.find_damage(target)}
    if damage:
        before = {one.kind.name: one.count for one in await fsck.find_damage(source)}
        fresh = [name for name, count in damage.items() if count > before.get(name, 0)]
        if fresh:
            raise _different(f"fsck finds {', '.join(fresh)} there, and not here")
        print("The old database was damaged, and so is the new one: messenger-admin fsck", file=sys.stderr)


async def undo(dsn: str, *, is_sure: bool) -> int:
    found = (await schema.state(dsn)).move
    if found is None or not found.leaves:
        raise Refusal(USAGE, "No move from this database has begun.")
    if found.ended_at is not None and not is_sure:
        _ask(found.place)
    async with _connected(dsn) as old:
        await _reopen(old)
    print(f"Servers may start here again. What has been copied stays in {found.place}.")
    return 0


def _ask(place: str) -> None:
    warning = UNDO.format(place=place)
    if not sys.stdin.isatty():
        raise Refusal(OTHER, *warning.splitlines(), "To do it without being asked: messenger-admin move --undo --yes")
    print(warning, file=sys.stderr)
    if input("Serve from here again? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise Refusal(OTHER, "Nothing was changed.")


async def _reopen(old: asyncpg.Connection) -> None:
    async with old.transaction():
        await old.execute(OPEN)
        await old.execute(f"drop table {MOVE_TABLE}")


def _different(how: str) -> Refusal:
    return Refusal(
        OTHER,
        f"The copy is not right: {how}.",
        "Nothing is served from it. Give it up with messenger-admin move --undo, empty the new database, begin anew.",
    )


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await copying.connect(dsn, "move")
    try:
        yield connection
    finally:
        connection.terminate()


def _target(address: str | None, file: Path | None) -> str:
    if file is not None:
        try:
            address = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Refusal(USAGE, f"--to-file={file} cannot be read: {error}.") from None
    address = address or ""
    try:
        parts = urlsplit(address)
        has_password = parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError:
        parts, has_password = urlsplit(""), False
    if parts.scheme not in {"postgresql", "postgres"}:
        raise Refusal(USAGE, "The address of the new database begins with postgresql://.")
    if has_password and file is None:
        raise Refusal(
            USAGE,
            "Other processes see what is on a command line, so --to holds no password.",
            "Write the whole address into a file and use --to-file FILE, or use ~/.pgpass.",
        )
    return address
