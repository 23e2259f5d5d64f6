"""The clauses of the delivery contract, each as a pure function over a record: what it finds is what breaks it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from proof.torture.clauses.answers import stale, unexplained
from proof.torture.clauses.heard import silent_gaps, undelivered
from proof.torture.clauses.markers import rewound
from proof.torture.clauses.members import leaked
from proof.torture.clauses.order import disorder, holes
from proof.torture.clauses.sessions import outlived
from proof.torture.clauses.stored import doubles, lost, phantoms
from proof.torture.history import History


@dataclass(frozen=True, slots=True)
class Clause:
    name: str
    sentence: str
    check: Callable[[History], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Verdict:
    clause: Clause
    findings: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.findings


def judge(history: History) -> list[Verdict]:
    return [Verdict(clause, tuple(clause.check(history))) for clause in CLAUSES]


CLAUSES = (
    Clause("D1", "What was acknowledged is there, as it was sent.", lost),
    Clause("D2", "What was refused is not stored, nor what nobody sent.", phantoms),
    Clause("D3", "One order without a hole, the same for everybody, and nothing in it comes late.", holes),
    Clause("D4", "Order follows cause: what was written or known first is first.", disorder),
    Clause("D5", "A key is one message, however often it is sent, and a repeat is told so.", doubles),
    Clause("D6", "A client that keeps a cursor hears the log of its chats: all of it, once, in order.", undelivered),
    Clause("D7", "What is left out is named; nothing is skipped in silence.", silent_gaps),
    Clause("D8", "Read markers never go back.", rewound),
    Clause("D9", "A session that ended sends nothing and hears nothing.", outlived),
    Clause("D10", "Who was removed hears, reads and says nothing more.", leaked),
    Clause("D11", "What was acknowledged or seen is in the next page, from every process.", stale),
    Clause("answers", "No 5xx but 503, and no refusal without a reason.", unexplained),
)
