"""An entry: one position of the log, what it is about, and its event, encoded once for all listeners."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

ENCODER = msgspec.json.Encoder()
MAX_POSITION = 2**53 - 1


class Entry(msgspec.Struct, eq=False, array_like=True):
    position: int
    kind: str
    chat_id: int | None = None
    actor_id: int | None = None
    key: str = ""  # that a message was sent under: its first letter says how
    data: Any = None
    event: bytes = b""  # the JSON object every transport sends; empty: nobody is told of it
    at: datetime | None = None
    user_id: int | None = None
    subject_id: int | None = None
    skip: object = None  # the listener that has its answer already and must not hear it again
    wire_frame: bytes = b""  # the same bytes framed for sockets, kept by the first socket that frames them

    @property
    def told(self) -> tuple[Any, ...]:
        """Its first fields: of a send or a read mark, what another process has to know."""
        return self.position, self.kind, self.chat_id, self.actor_id, self.key, self.data, self.event, self.at

    @property
    def audience(self) -> Sequence[int] | None:
        """The only members it is for; None: everybody who hears its topics."""
        return self.data.get("to") if isinstance(self.data, dict) else None


class Run:
    """Messages of one chat that follow one another: whoever hears all of them gets them by one call."""

    __slots__ = ("entries", "wire_frames")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.wire_frames = b""  # of all entries, kept by the first socket that joins them


class Listener(Protocol):
    user_id: int
    session_id: int

    def hear(self, entry: Entry) -> None: ...
    def hear_run(self, run: Run) -> None: ...
    def hear_note(self, note: bytes) -> None: ...
    def session_ended(self) -> None: ...
    def log_restarted(self) -> None: ...


# What an event says beside its kind, chat and cursor. None: nobody is told of this entry.
Fields = Mapping[str, object] | None
# The fields of many entries of one kind, as things are now.
Render = Callable[[str, Sequence[Entry]], Awaitable[Sequence[Fields]]]


async def render_nothing(kind: str, entries: Sequence[Entry]) -> Sequence[Fields]:
    return [None for _ in entries]


def encode(kind: str, epoch: str, position: int, chat_id: int | None, fields: object) -> bytes:
    """The event's bytes: the same in every process, on every transport, for every receiver."""
    head, body = _head(kind, epoch, position, chat_id), ENCODER.encode(fields)
    return head + (b"}" if body == b"{}" else b"," + body[1:])


def encode_message(epoch: str, position: int, chat_id: int, message: bytes) -> bytes:
    """`encode` of a new message whose JSON is made already."""
    return b'%b,"message":%b}' % (_head("new_message", epoch, position, chat_id), message)


def _head(kind: str, epoch: str, position: int, chat_id: int | None) -> bytes:
    chat = f',"chat_id":"{chat_id}"' if chat_id is not None else ""
    return f'{{"type":"{kind}","cursor":"{epoch}.{position}"{chat}'.encode()


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the log that a client keeps: opaque to it."""

    epoch: str
    position: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.position}"

    @classmethod
    def find(cls, text: str) -> "Cursor | None":
        found = CURSOR.fullmatch(text)
        if found is None or int(found[2]) > MAX_POSITION:
            return None
        return cls(found[1], int(found[2]))


CURSOR = re.compile(r"([0-9a-z]{1,32})\.(0|[1-9][0-9]{0,15})", re.ASCII)
