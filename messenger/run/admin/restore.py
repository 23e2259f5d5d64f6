"""Fills an empty database from a backup, in one transaction: all of it is there, or nothing.

The log goes on in a new epoch: what clients were told after the backup is not true here.
"""

import argparse
import sys
import time
from pathlib import Path

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from messenger.db import schema
from messenger.db.database import Transaction, translated
from messenger.run.admin import backup_file, context, copying, epoch_store
from messenger.run.admin.backup_file import Backup, Manifest
from messenger.run.admin.progress import ProgressLine, size
from messenger.run.cli import OTHER, SCHEMA, Refusal
from messenger.settings import Config


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
    async with copying.filling(dsn, "restore") as (connection, rows):
        await copying.refuse_others(rows)
        await copying.refuse_something(rows, "Name an empty database in DATABASE_URL, or an empty DATA_DIR.")
        await connection.run_sync(schema.upgrade_within, backup.manifest.revisions)
        strange = await fill(rows, backup)
        await connection.run_sync(schema.upgrade_within, ["heads"])
        epoch = await begin_epoch(connection, backup.manifest)
    return epoch, strange


async def fill(connection: asyncpg.Connection, backup: Backup) -> list[str]:
    manifest = backup.manifest
    places = {part.name: part for part in await copying.find_parts(connection)}
    tables = {table.name: table for table in manifest.tables}
    order = [part for name, part in places.items() if name in tables]
    await copying.make_room(connection, order)
    with ProgressLine(sum(table.size for table in manifest.tables), "restoring") as progress:
        for stored in (tables[part.name] for part in order):
            await copying.write_rows(connection, stored.part, backup.pieces(stored, progress))
    await copying.settle(connection, order, manifest.sequences)
    return sorted(tables.keys() - places.keys())


async def begin_epoch(connection: AsyncConnection, manifest: Manifest) -> str:
    """By hand: the same database may have been emptied for it, and would not notice."""
    async with AsyncSession(connection) as session:
        return await epoch_store.begin_epoch(Transaction(session), manifest.position)
