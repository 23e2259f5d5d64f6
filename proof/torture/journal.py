"""What everybody outside of the servers did and saw, line by line, in the order in which it happened.

One file for all, written by one process: the number of a line is its time. Nothing is ever changed or taken back.
"""

import hashlib
import time
from pathlib import Path
from typing import Any

import msgspec

Row = tuple[int, int, int, str, bool]  # seq, position, sender, digest of the text, changed since it was said?


class Line(msgspec.Struct, frozen=True, array_like=True, tag=str.lower, gc=False):
    """Its kind comes first, then the microseconds since the beginning."""

    at: int


class Send(Line, frozen=True):
    """Written to a connection (`line`; 0: a request of its own) of a session on a process."""

    ref: int
    line: int
    session: int
    process: int
    sender: int
    chat: int
    key: str
    digest: str
    flaw: str = ""  # why it may be refused; "" must not be


class Ack(Line, frozen=True):
    ref: int
    chat: int
    seq: int
    position: int
    replayed: bool


class Refusal(Line, frozen=True):
    ref: int
    status: int
    code: str


class Unknown(Line, frozen=True):
    """Nobody said what became of it: no answer, or `unavailable`."""

    ref: int
    why: str


class Stored(Line, frozen=True):
    """The database was seen to hold these keys of a sender, before anything that follows."""

    sender: int
    chat: int
    keys: list[str]


class Opened(Line, frozen=True):
    """A connection that hears events; `cursor` -1: from now on. Only a `listener` with a name keeps its cursor."""

    line: int
    listener: str
    way: str
    process: int
    user: int
    session: int
    cursor: int


class Shut(Line, frozen=True):
    line: int
    why: str


class Said(Line, frozen=True):
    """A message was heard."""

    line: int
    position: int
    chat: int
    seq: int
    sender: int
    digest: str
    changed: bool


class Told(Line, frozen=True):
    """Any other event was heard; `reads`: whose marker moved from where to where."""

    line: int
    position: int
    kind: str
    chat: int
    user: int = 0
    reads: list[tuple[int, int, int]] = []


class Gap(Line, frozen=True):
    """`limited`: these pages are to be read; `resync`: start anew at this position."""

    line: int
    kind: str
    position: int
    chat: int = 0
    first: int = 0
    last: int = 0


class Page(Line, frozen=True):
    """A page of history, asked for when the journal had `since` lines; `reader`: one who never looks back."""

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


class Mark(Line, frozen=True):
    ref: int
    line: int
    session: int
    user: int
    chat: int
    seq: int


class Marked(Line, frozen=True):
    ref: int
    read_seq: int


class Membership(Line, frozen=True):
    """Somebody was let in or removed: asked for when the journal had `since` lines, answered now."""

    since: int
    chat: int
    user: int
    joins: bool
    status: int


class Ended(Line, frozen=True):
    """The end of a session was answered."""

    since: int
    session: int


class Asked(Line, frozen=True):
    """Any other request and its status."""

    since: int
    session: int
    process: int
    what: str
    status: int
    code: str = ""


class Struck(Line, frozen=True):
    """A fault began."""

    number: int
    kind: str
    process: int


class Recovered(Line, frozen=True):
    """The processes that were hit acknowledge again: that many seconds after the fault was over."""

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


def digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
