"""The clauses of the delivery contract, each as a pure function over a record: what it finds is what breaks it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from proof.torture.clauses.answers import stale, unexplained
from proof.torture.clauses.heard import silent_gaps, undelivered
from proof.torture.clauses.markers import rewound
from proof.torture.clauses.members import leaked
from proof.torture.clauses.order import disorder, holes
from proof.torture.clauses.sessions import outlived
from proof.torture.clauses.stored import doubles, lost, phantoms
from proof.torture.history import History

MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Clause:
    name: str
    sentence: str
    check: Callable[[History], Iterator[str]]


class Verdict(msgspec.Struct):
    clause: str
    sentence: str
    holds: bool
    broken: int
    findings: list[str]  # the first of them


def judge(history: History) -> list[Verdict]:
    judged = [(clause, list(clause.check(history))) for clause in CLAUSES]
    return [Verdict(one.name, one.sentence, not found, len(found), found[:MOST_SHOWN]) for one, found in judged]


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
