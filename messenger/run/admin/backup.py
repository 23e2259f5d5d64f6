"""Saves the installation in one file, as it is at one moment, while servers go on."""

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import RawIOBase
from pathlib import Path

import asyncpg

import messenger
from messenger.db.database import translated
from messenger.run.admin import backup_file, context, copying
from messenger.run.admin.backup_file import FORMAT, Manifest, Stored, Written, WrittenPart
from messenger.run.admin.progress import ProgressLine, size
from messenger.run.cli import OTHER, USAGE, Refusal
from messenger.settings import Config

STDOUT = "-"


def run(options: argparse.Namespace) -> int:
    async def work(config: Config, dsn: str) -> int:
        began = time.monotonic()
        with destination(options.file) as written, translated():
            manifest = await save(dsn, written)
        print(
            f"Saved {manifest.rows} rows of {len(manifest.tables)} tables, up to position {manifest.position}: "
            f"{size(written.size)}. {time.monotonic() - began:.1f} s",
            file=sys.stderr if options.file == STDOUT else sys.stdout,
        )
        return 0

    return context.run_with_database(work)


async def save(dsn: str, written: Written) -> Manifest:
    async with copying.snapshot(dsn, "backup") as connection:
        parts = await copying.find_parts(connection)
        await copying.lock_against_changes_of_schema(connection, parts)
        with ProgressLine(sum(part.size for part in parts), "saving") as progress:
            with backup_file.write_archive(written) as archive:
                tables = []
                for part in parts:
                    with archive.open(f"tables/{part.name}.copy", "w", force_zip64=True) as file:
                        told = WrittenPart(file, progress)
                        rows = await copying.read_rows(connection, part, told.write)
                    tables.append(Stored(part.name, part.columns, rows, told.size, told.sha256))
                manifest = await describe(connection, tables)
                backup_file.write_manifest(archive, manifest)
    return manifest


async def describe(connection: asyncpg.Connection, tables: list[Stored]) -> Manifest:
    head = await connection.fetchrow(copying.HEAD)
    return Manifest(
        format=FORMAT,
        program=messenger.__version__,
        postgres=await connection.fetchval("select current_setting('server_version')"),
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        revisions=tuple(row[0] for row in await connection.fetch("select version_num from alembic_version order by 1")),
        epoch=head["epoch"],
        position=head["position"],
        tables=tuple(tables),
        sequences=await copying.find_sequences(connection),
    )


@contextmanager
def destination(name: str) -> Iterator[Written]:
    """A file has its name only when it is whole and on the disk."""
    if name == STDOUT:
        if sys.stdout.isatty():
            raise Refusal(USAGE, "A backup is no text for a terminal.", "Name a file, or send it through a pipe.")
        yield Written(open(sys.stdout.fileno(), "wb", buffering=0, closefd=False), "The output")
        return
    whole = Path(name)
    if whole.exists():
        raise Refusal(OTHER, f"{whole} is there already.", "Name another file, or remove it.")
    draft = whole.with_name(f"{whole.name}.part")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600), "wb", buffering=0) as file:
            _take(file, whole)
            try:
                yield Written(file, str(whole))
                os.fsync(file.fileno())
                draft.rename(whole)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
        folder = os.open(whole.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise backup_file.unwritable(name, error) from None


def _take(file: RawIOBase, whole: Path) -> None:
    """What an interrupted run left is written over, what a running one writes is not."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refusal(OTHER, f"Another backup is writing {whole}.", "Name another file.") from None
    file.truncate(0)
    os.fchmod(file.fileno(), 0o600)
