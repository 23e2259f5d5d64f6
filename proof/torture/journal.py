"""What everybody outside of the servers did and saw, line by line, in the order in which it happened.

One file for all, written by one process: the number of a line is its time. Nothing is ever changed or taken back.
"""

import hashlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

Row = tuple[int, int, int, str, bool]  # seq, position, sender, digest of the text, changed since it was said?


class Send(msgspec.Struct, frozen=True, array_like=True, tag="send", gc=False):
    """Written to a connection (`line`; 0: a request of its own) of a session on a process."""

    at: int
    ref: int
    line: int
    session: int
    process: int
    sender: int
    chat: int
    key: str
    digest: str
    flaw: str = ""  # why it may be refused; "" must not be


class Ack(msgspec.Struct, frozen=True, array_like=True, tag="ack", gc=False):
    at: int
    ref: int
    chat: int
    seq: int
    position: int
    replayed: bool


class Refusal(msgspec.Struct, frozen=True, array_like=True, tag="refusal", gc=False):
    at: int
    ref: int
    status: int
    code: str


class Unknown(msgspec.Struct, frozen=True, array_like=True, tag="unknown", gc=False):
    """Nobody said what became of it: no answer, or `unavailable`."""

    at: int
    ref: int
    why: str


class Stored(msgspec.Struct, frozen=True, array_like=True, tag="stored", gc=False):
    """The database was seen to hold these keys of a sender, before anything that follows."""

    at: int
    sender: int
    chat: int
    keys: list[str]


class Opened(msgspec.Struct, frozen=True, array_like=True, tag="opened", gc=False):
    """A connection that hears events; `cursor` -1: from now on. Only a `listener` with a name keeps its cursor."""

    at: int
    line: int
    listener: str
    way: str
    process: int
    user: int
    session: int
    cursor: int


class Shut(msgspec.Struct, frozen=True, array_like=True, tag="shut", gc=False):
    at: int
    line: int
    why: str


class Said(msgspec.Struct, frozen=True, array_like=True, tag="said", gc=False):
    """A message was heard."""

    at: int
    line: int
    position: int
    chat: int
    seq: int
    sender: int
    digest: str
    changed: bool


class Told(msgspec.Struct, frozen=True, array_like=True, tag="told", gc=False):
    """Any other event was heard; `reads`: whose marker moved from where to where."""

    at: int
    line: int
    position: int
    kind: str
    chat: int
    user: int = 0
    reads: list[tuple[int, int, int]] = []


class Gap(msgspec.Struct, frozen=True, array_like=True, tag="gap", gc=False):
    """`limited`: these pages are to be read; `resync`: start anew at this position."""

    at: int
    line: int
    kind: str
    position: int
    chat: int = 0
    first: int = 0
    last: int = 0


class Page(msgspec.Struct, frozen=True, array_like=True, tag="page", gc=False):
    """A page of history, asked for when the journal had `since` lines; `reader`: one who never looks back."""

    at: int
    since: int
    reader: str
    user: int
    session: int
    process: int
    chat: int
    first: int
    limit: int
    status: int
    rows: list[Row]


class Mark(msgspec.Struct, frozen=True, array_like=True, tag="mark", gc=False):
    at: int
    ref: int
    line: int
    session: int
    user: int
    chat: int
    seq: int


class Marked(msgspec.Struct, frozen=True, array_like=True, tag="marked", gc=False):
    at: int
    ref: int
    read_seq: int


class Membership(msgspec.Struct, frozen=True, array_like=True, tag="membership", gc=False):
    """Somebody was let in or removed: asked for when the journal had `since` lines, answered now."""

    at: int
    since: int
    chat: int
    user: int
    joins: bool
    status: int


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="ended", gc=False):
    """The end of a session was answered."""

    at: int
    since: int
    session: int


class Asked(msgspec.Struct, frozen=True, array_like=True, tag="asked", gc=False):
    """Any other request and its status."""

    at: int
    since: int
    session: int
    process: int
    what: str
    status: int
    code: str = ""


class Struck(msgspec.Struct, frozen=True, array_like=True, tag="struck", gc=False):
    """A fault began."""

    at: int
    number: int
    kind: str
    process: int


class Recovered(msgspec.Struct, frozen=True, array_like=True, tag="recovered", gc=False):
    """The processes that were hit acknowledge again: that many seconds after the fault was over."""

    at: int
    number: int
    kind: str
    seconds: float
    in_flight: int


Record = (
    Send | Ack | Refusal | Unknown | Stored | Opened | Shut | Said | Told | Gap | Page | Mark | Marked | Membership
    | Ended | Asked | Struck | Recovered
)  # fmt: skip
DECODER = msgspec.json.Decoder(Record)
ENCODER = msgspec.json.Encoder()


class Journal:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        self._file = path.open("wb", buffering=1 << 18)
        self._began = time.monotonic_ns()
        self._refs = 0

    @property
    def now(self) -> int:
        """Microseconds since the beginning."""
        return (time.monotonic_ns() - self._began) // 1000

    def ref(self) -> int:
        """The next number for a try, a connection or a mark."""
        self._refs += 1
        return self._refs

    def write(self, record: Any) -> None:
        self.lines += 1
        self._file.write(ENCODER.encode(record) + b"\n")

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> list[Record]:
    return DECODER.decode_lines(path.read_bytes())


def write_all(path: Path, records: Iterable[Record]) -> None:
    path.write_bytes(b"".join(ENCODER.encode(record) + b"\n" for record in records))


def digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
