"""A record made handy for those who judge it: who wrote what when, who heard what where, what the database holds."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from proof.torture import journal
from proof.torture.ledger import Entry, Ledger, Message

T = TypeVar("T")
K = TypeVar("K")


@dataclass
class Listening:
    """What came over one connection, in the order in which it came."""

    opened: journal.Opened
    at: int
    heard: list[tuple[int, journal.Said | journal.Told | journal.Gap]] = field(default_factory=list)
    acked: list[tuple[int, journal.Ack]] = field(default_factory=list)
    shut: tuple[int, journal.Shut] | None = None


class Interval(NamedTuple):
    """A membership: from the position where it began to the one where it ended, or on and on."""

    chat: int
    joined: int
    removed: int | None


def grouped(things: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """In the order in which they come."""
    found: dict[K, list[T]] = defaultdict(list)
    for one in things:
        found[key(one)].append(one)
    return found


class History:
    def __init__(self, records: list[journal.Record], ledger: Ledger) -> None:
        self.records = records
        self.ledger = ledger
        kinds: dict[type, list[Any]] = defaultdict(list)
        for at, record in enumerate(records):
            kinds[type(record)].append((at, record))
        self.sends: dict[int, tuple[int, journal.Send]] = {sent.ref: (at, sent) for at, sent in kinds[journal.Send]}
        self.marks: dict[int, tuple[int, journal.Mark]] = {mark.ref: (at, mark) for at, mark in kinds[journal.Mark]}
        self.acks: list[tuple[int, journal.Ack]] = kinds[journal.Ack]
        self.refusals: list[tuple[int, journal.Refusal]] = kinds[journal.Refusal]
        self.unknowns: list[tuple[int, journal.Unknown]] = kinds[journal.Unknown]
        self.stored: list[tuple[int, journal.Stored]] = kinds[journal.Stored]
        self.pages: list[tuple[int, journal.Page]] = kinds[journal.Page]
        self.marked: list[tuple[int, journal.Marked]] = kinds[journal.Marked]
        self.memberships: list[tuple[int, journal.Membership]] = kinds[journal.Membership]
        self.ended: list[tuple[int, journal.Ended]] = kinds[journal.Ended]
        self.asked: list[tuple[int, journal.Asked]] = kinds[journal.Asked]
        self.lines = self._lines()

    def _lines(self) -> dict[int, Listening]:
        lines: dict[int, Listening] = {}
        for at, record in enumerate(self.records):
            match record:
                case journal.Opened():
                    lines[record.line] = Listening(record, at)
                case journal.Said() | journal.Told() | journal.Gap() if record.line in lines:
                    lines[record.line].heard.append((at, record))
                case journal.Ack() if (sent := self.sends.get(record.ref)) is not None and sent[1].line in lines:
                    lines[sent[1].line].acked.append((at, record))
                case journal.Shut() if record.line in lines:
                    lines[record.line].shut = at, record
        return lines

    def said(self) -> Iterator[tuple[int, Listening, journal.Said]]:
        """Every message that was heard, when and where."""
        for line in self.lines.values():
            for at, one in line.heard:
                if isinstance(one, journal.Said):
                    yield at, line, one

    # --- the database

    @cached_property
    def rows(self) -> dict[tuple[int, int], Message]:
        """By chat and number."""
        return {(one.chat, one.seq): one for one in self.ledger.messages}

    @cached_property
    def by_key(self) -> dict[tuple[int, int, str], list[Message]]:
        return grouped(self.ledger.messages, lambda one: (one.sender, one.chat, one.key))

    @cached_property
    def in_chat(self) -> dict[int, list[Message]]:
        return grouped(self.ledger.messages, lambda one: one.chat)

    @cached_property
    def entries_of(self) -> dict[int, list[Entry]]:
        """By chat, in the order of the log."""
        return grouped(self.ledger.entries, lambda one: one.chat)

    @cached_property
    def intervals(self) -> dict[int, list[Interval]]:
        """By person, in the order of the log."""
        found: dict[int, list[Interval]] = defaultdict(list)
        running: dict[tuple[int, int], int] = {}
        for one in self.ledger.entries:
            if one.kind == "member_added":
                running[one.chat, one.user] = one.position
            elif one.kind == "member_removed":
                joined = running.pop((one.chat, one.user), 0)
                found[one.user].append(Interval(one.chat, joined, one.position))
        for (chat, user), joined in running.items():
            found[user].append(Interval(chat, joined, None))
        return found

    @cached_property
    def memberships_of(self) -> dict[tuple[int, int], list[Interval]]:
        """By person and chat."""
        found: dict[tuple[int, int], list[Interval]] = defaultdict(list)
        for user, intervals in self.intervals.items():
            for one in intervals:
                found[user, one.chat].append(one)
        return found

    def between(self, chat: int, after: int, upto: int) -> list[Message]:
        """The messages of a chat whose positions lie there; numbers and positions rise together."""
        messages = self.in_chat.get(chat, [])
        first = bisect_left(messages, after + 1, key=lambda one: one.position)
        last = bisect_left(messages, upto + 1, key=lambda one: one.position)
        return messages[first:last]

    # --- the listeners

    @cached_property
    def listeners(self) -> dict[str, list[Listening]]:
        """Those who keep their cursor: their connections, one after the other."""
        kept = [one for one in self.lines.values() if one.opened.listener]
        return grouped(kept, lambda one: one.opened.listener)

    @cached_property
    def sessions_of_lines(self) -> dict[int, int]:
        """Which session a line belongs to, as its sends say: the server tells the number only after the upgrade."""
        return {sent.line: sent.session for _, sent in self.sends.values() if sent.line and sent.session}
