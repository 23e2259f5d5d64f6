"""The files of the page: read once, named by one hash over all of them, packed once when first asked for.

Who has the page of a version gets the modules of that version: their address holds the hash, so they are kept for ever
and never mixed. Only what lies here when it is read has an address.
"""

import asyncio
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import brotli

STATIC = Path(__file__).parent / "static"
# Said here, since each system has its own idea of what a .js file is. Other files are not served.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}
PACKED = frozenset(TYPES) - {".png"}
WORTH_PACKING = 512
PACKERS: dict[str, Callable[[bytes], bytes]] = {"br": brotli.compress, "gzip": gzip.compress}  # the better one first
# They have addresses of their own and name those of the others; what stands for these is put in when they are read.
PAGE, WORKER, MANIFEST = "index.html", "sw.js", "manifest.webmanifest"
TEMPLATES = frozenset({PAGE, WORKER, MANIFEST})
# All modules are fetched at once, not one after another as their imports are read.
PRELOAD = '<link rel="modulepreload" href="{}">'


@dataclass(frozen=True)
class Asset:
    body: bytes
    suffix: str
    packed: dict[str, bytes] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        return TYPES[self.suffix]

    @cached_property
    def tag(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:32]

    async def encoded(self, accepted: frozenset[str]) -> tuple[bytes, str]:
        """The body, and its encoding: none is the empty word."""
        coding = next((name for name in PACKERS if name in accepted), "")
        if not coding or self.suffix not in PACKED or len(self.body) < WORTH_PACKING:
            return self.body, ""
        if coding not in self.packed:
            self.packed[coding] = await asyncio.to_thread(PACKERS[coding], self.body)  # it takes tenths of a second
        return self.packed[coding], coding


@dataclass(frozen=True, slots=True)
class Assets:
    version: str  # the hash over all
    files: dict[str, Asset]  # by their path in the folder

    @classmethod
    def read(cls, folder: Path) -> Self:
        found = {path.relative_to(folder).as_posix(): path for path in files(folder)}
        bodies = {name: path.read_bytes() for name, path in sorted(found.items())}
        version = _hash_of(bodies)
        place = f"static/{version}"
        others = [f"{place}/{name}" for name in bodies if name not in TEMPLATES]
        for name in TEMPLATES & bodies.keys():
            text = bodies[name].decode().replace("{static}", place).replace("{files}", json.dumps(others))
            text = text.replace("{modules}", "\n".join(map(PRELOAD.format, filter(_is_module, others))))
            bodies[name] = text.encode()
        return cls(version, {name: Asset(body, found[name].suffix) for name, body in bodies.items()})

    def find(self, version: str, name: str) -> Asset | None:
        return self.files.get(name) if version == self.version and name not in TEMPLATES else None


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix in TYPES and path.is_file())


def reader(folder: Path, *, changing: bool) -> Callable[[], Assets]:
    """`changing`: people work on the files, so a changed one is read anew."""
    kept = Assets.read(folder)
    if not changing:
        return lambda: kept
    seen = _stamps(folder)

    def read() -> Assets:
        nonlocal kept, seen
        if (now := _stamps(folder)) != seen:
            kept, seen = Assets.read(folder), now
        return kept

    return read


def _is_module(path: str) -> bool:
    return path.endswith(".js")


def _stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in files(folder)}


def _hash_of(bodies: dict[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name, body in bodies.items():
        whole.update(f"{name}\0{len(body)}\0".encode() + body)
    return whole.hexdigest()[:16]
