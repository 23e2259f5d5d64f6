"""A backup on disk: a ZIP file that any program opens. One part for each table (the text of COPY), and last a manifest.

A file without a manifest is not whole. Written as a stream, so it can go through a pipe; read as a file.
"""

import hashlib
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import IO, Any

import msgspec

from messenger.run.admin.copying import Part, SequenceState
from messenger.run.admin.progress import ProgressLine
from messenger.run.cli import OTHER, Refusal

FORMAT = 1
MANIFEST = "manifest.json"
PIECE = 1 << 18
LEVEL = 2  # of zlib: a third of the time of the usual 6, and a tenth more bytes
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, msgspec.MsgspecError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class Stored:
    """What the manifest says of a table."""

    name: str
    columns: tuple[str, ...]
    rows: int
    size: int
    sha256: str

    @property
    def part(self) -> Part:
        return Part(self.name, self.columns, self.size)

    @property
    def file(self) -> str:
        return f"tables/{self.name}.copy"


@dataclass(frozen=True, slots=True)
class Manifest:
    format: int
    program: str
    postgres: str
    made_at: str
    revisions: tuple[str, ...]
    epoch: str
    position: int
    tables: tuple[Stored, ...]
    sequences: dict[str, SequenceState]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


class Written:
    """Where a ZIP file goes that is never sought in. Its errors say what they are about.

    Unbuffered: what a full disk refused must not be tried once more when the program ends.
    """

    def __init__(self, file: RawIOBase, name: str) -> None:
        self._file = file
        self._name = name
        self.size = 0

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise unwritable(self._name, error) from None
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


class WrittenPart:
    """The part of one table, counted and hashed as it is written."""

    def __init__(self, file: IO[bytes], progress: ProgressLine) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._progress = progress
        self.size = 0

    async def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        self._progress.add(len(data))

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def unwritable(name: str, error: OSError) -> Refusal:
    return Refusal(OTHER, f"{name} cannot be written: {error.strerror or error}.", "Nothing is kept of this backup.")


@contextmanager
def write_archive(written: Written) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:  # type: ignore[call-overload]
        yield archive


def write_manifest(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))


class Backup:
    """A whole backup, opened."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest

    async def pieces(self, table: Stored, progress: ProgressLine) -> AsyncIterator[bytes]:
        with self._archive.open(table.file) as part:
            while piece := part.read(PIECE):
                yield piece
                progress.add(len(piece))

    def find_damage(self, progress: ProgressLine) -> str | None:
        """The first table that is not what it was."""
        for table in self.manifest.tables:
            hashed = hashlib.sha256()
            try:
                with self._archive.open(table.file) as part:
                    while piece := part.read(PIECE):
                        hashed.update(piece)
                        progress.add(len(piece))
            except UNREADABLE:
                return table.name
            if hashed.hexdigest() != table.sha256:
                return table.name
        return None


@contextmanager
def opened(path: Path) -> Iterator[Backup]:
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise Refusal(OTHER, f"{path} cannot be read: {error.strerror or error}.") from None
    except UNREADABLE:
        raise _incomplete(path) from None
    with archive:
        try:
            said: dict[str, Any] = msgspec.json.decode(archive.read(MANIFEST), type=dict[str, Any])
            if said["format"] != FORMAT:
                raise Refusal(OTHER, f"{path} has format {said['format']}, this version reads {FORMAT}.")
            manifest = msgspec.convert(said, Manifest)
        except UNREADABLE:
            raise _incomplete(path) from None
        yield Backup(archive, manifest)


def _incomplete(path: Path) -> Refusal:
    return Refusal(OTHER, f"{path} is no backup, or not all of one.", "Make another: messenger-admin backup FILE")
