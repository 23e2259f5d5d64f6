"""Fills an empty database from a backup, in one transaction: all of it is there, or nothing.

The log goes on in a new epoch: what clients were told after the backup is not true here.
"""

import argparse
import sys
import time
from pathlib import Path

import asyncpg
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

from messenger.db import schema
from messenger.db.database import Transaction, translated
from messenger.run.admin import backup_file, context, copying, epoch_store
from messenger.run.admin.backup_file import Backup, Manifest
from messenger.run.admin.progress import ProgressLine, size
from messenger.run.cli import OTHER, SCHEMA, Refusal
from messenger.settings import Config

SOMETHING = """
    select c.relname::text from pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
       and not exists (select from pg_depend d
                        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
     order by c.relname = 'users' desc limit 1
    """


def run(options: argparse.Namespace) -> int:
    path: Path = options.file
    with backup_file.opened(path) as backup:
        check(path, backup)

        async def work(config: Config, dsn: str) -> int:
            began = time.monotonic()
            with translated():
                epoch, strange = await restore(dsn, backup)
            manifest = backup.manifest
            if strange:
                print(f"Left out: {', '.join(strange)}; no migration makes such a table.", file=sys.stderr)
            print(
                f"Restored {manifest.rows} rows of {len(manifest.tables) - len(strange)} tables, "
                f"{size(sum(table.size for table in manifest.tables))}; epoch {epoch} begins after position "
                f"{manifest.position}. Search is complete when a server has read them again. "
                f"{time.monotonic() - began:.1f} s"
            )
            return 0

        return context.run_with_database(work, needs_schema=False)


def check(path: Path, backup: Backup) -> None:
    """All that can be known before the database is touched."""
    manifest = backup.manifest
    newer = sorted(set(manifest.revisions) - schema.revisions().known)
    if newer:
        raise Refusal(
            SCHEMA,
            f"{path} has schema {', '.join(newer)}, made by version {manifest.program}, which this one does not know.",
            "Restore it with that version, or a newer one, and with its sub-apps installed.",
        )
    with ProgressLine(sum(table.size for table in manifest.tables), "checking") as progress:
        damaged = backup.find_damage(progress)
    if damaged is not None:
        raise Refusal(OTHER, f"{path} is damaged: table {damaged} is not what was saved.", "Use another backup.")


async def restore(dsn: str, backup: Backup) -> tuple[str, list[str]]:
    """The new epoch, and the tables that nothing here makes."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda **_: copying.connect(dsn, "restore"), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            # A server that would migrate the empty database waits for this lock, and then finds all done.
            await connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": schema.MIGRATION_LOCK})
            rows = (await connection.get_raw_connection()).driver_connection
            assert rows is not None
            await refuse_something(rows)
            await connection.run_sync(schema.upgrade_within, backup.manifest.revisions)
            strange = await fill(rows, backup)
            await connection.run_sync(schema.upgrade_within, ["heads"])
            epoch = await begin_epoch(connection, backup.manifest)
            await rows.execute("analyze")
    finally:
        await engine.dispose()
    return epoch, strange


async def refuse_something(connection: asyncpg.Connection) -> None:
    others = await copying.find_others(connection)
    if others:
        raise Refusal(OTHER, f"Others are connected to the database: {others}.", "Stop them first.")
    there = await connection.fetchval(SOMETHING)
    if there is not None:
        raise Refusal(
            OTHER,
            f"The database is not empty: it has a table {there}.",
            "Name an empty database in DATABASE_URL, or an empty DATA_DIR.",
        )


async def fill(connection: asyncpg.Connection, backup: Backup) -> list[str]:
    manifest = backup.manifest
    places = {part.name: part for part in await copying.find_parts(connection)}
    tables = {table.name: table for table in manifest.tables}
    order = [part for name, part in places.items() if name in tables]
    with ProgressLine(sum(table.size for table in manifest.tables), "restoring") as progress:
        async with copying.silenced(connection, order):
            for part in order:
                stored = tables[part.name]
                # Migrations begin a log of their own.
                if await connection.fetchval(f"select exists (select from {copying.named(part.name)})"):
                    await connection.execute(f"delete from {copying.named(part.name)}")
                await copying.write_rows(connection, stored.part, backup.pieces(stored, progress))
    await copying.set_sequences(connection, manifest.sequences)
    await copying.forget_search(connection)
    return sorted(tables.keys() - places.keys())


async def begin_epoch(connection: AsyncConnection, manifest: Manifest) -> str:
    """By hand: the same database may have been emptied for it, and would not notice."""
    async with AsyncSession(connection) as session:
        return await epoch_store.begin_epoch(Transaction(session), manifest.position)
