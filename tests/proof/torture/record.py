"""The record of a run, and how to plant a bug in it: as if the product had done what it must not.

It is stored beside this file: journal and ledger of `python -m proof.torture --wire redis --seed 40 --faults 9
--sends 700 --ambiguous 30 --keep`, packed by xz. Where records change their shape it is made anew so.
"""

import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from proof.torture.clauses import CLAUSES
from proof.torture.history import History
from proof.torture.journal import DECODER, Ack, Opened, Record, Said, Send
from proof.torture.ledger import Ledger, Message

R = TypeVar("R")
HERE = Path(__file__).parent


class Recorded:
    def __init__(self, records: list[Record], ledger: Ledger) -> None:
        self.records, self.ledger = records, ledger

    @classmethod
    def stored(cls) -> "Recorded":
        journal, ledger = (
            lzma.decompress((HERE / name).read_bytes()) for name in ("journal.jsonl.xz", "ledger.json.xz")
        )
        return cls(DECODER.decode_lines(journal), msgspec.json.decode(ledger, type=Ledger))

    def findings(self, name: str) -> list[str]:
        """What the clause of this name has to say."""
        (clause,) = (one for one in CLAUSES if one.name == name)
        return list(clause.check(self.history))

    @property
    def history(self) -> History:
        return History(self.records, self.ledger)

    # --- looking around

    def all(self, kind: type[R], is_meant: Callable[[Any], bool] = lambda record: True) -> Iterator[tuple[int, R]]:
        for at, record in enumerate(self.records):
            if isinstance(record, kind) and is_meant(record):
                yield at, record

    def first(self, kind: type[R], is_meant: Callable[[Any], bool] = lambda record: True) -> tuple[int, R]:
        found = next(self.all(kind, is_meant), None)
        assert found is not None, f"the run has no such {kind.__name__}"
        return found

    def row_of(self, ack: Ack) -> Message:
        return next(row for row in self.ledger.messages if (row.chat, row.seq) == (ack.chat, ack.seq))

    def sent(self, ack: Ack) -> Send:
        return self.first(Send, lambda sent: sent.ref == ack.ref)[1]

    def lines_of(self, listener: str) -> dict[int, Opened]:
        return {one.line: one for _, one in self.all(Opened, lambda opened: opened.listener == listener)}

    def heard_by(self, listener: str) -> list[tuple[int, Said]]:
        """Its messages, on the connection on which it heard most of them."""
        by_line: dict[int, list[tuple[int, Said]]] = {line: [] for line in self.lines_of(listener)}
        for at, said in self.all(Said, lambda said: said.line in by_line):
            by_line[said.line].append((at, said))
        return max(by_line.values(), key=len)

    # --- planting

    def change(self, at: int, **fields: Any) -> None:
        self.records[at] = msgspec.structs.replace(self.records[at], **fields)

    def change_row(self, row: Message, **fields: Any) -> None:
        place = self.ledger.messages.index(row)
        self.ledger.messages[place] = msgspec.structs.replace(row, **fields)

    def swap(self, one: Ack, other: Ack) -> None:
        """The two messages change places: in the database, in their acks and wherever they were heard."""
        places = {(one.chat, one.seq): other, (other.chat, other.seq): one}
        for at, record in enumerate(self.records):
            if isinstance(record, Ack) and (record.chat, record.seq) in places:
                there = places[record.chat, record.seq]
                self.change(at, seq=there.seq, position=there.position)
        rows = [self.row_of(one), self.row_of(other)]
        for row, there in zip(rows, (other, one), strict=True):
            self.change_row(row, seq=there.seq, position=there.position)
        self.ledger.messages.sort(key=lambda row: (row.chat, row.seq))
