"""A run in figures: what was done to the product, what it answered, how long it took to come back, and the verdicts."""

import os
import platform
from collections import Counter, defaultdict
from statistics import median, quantiles

import msgspec

from proof.torture.clauses import Verdict, judge
from proof.torture.clauses.sessions import session_of
from proof.torture.history import History
from proof.torture.journal import Gap, Recovered, Struck
from proof.torture.plan import KILLS, Plan

READY_GOAL = 5.0
ENOUGH = 100
WAYS = ("socket", "sse", "poll")


class Spread(msgspec.Struct):
    least: float
    middle: float
    most: float
    times: int

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        return cls(round(min(values), 3), round(median(values), 3), round(max(values), 3), len(values))


class Staleness(msgspec.Struct):
    """Milliseconds from the ack of a message to its event, faults and all."""

    middle: float
    p99: float
    most: float


class Summary(msgspec.Struct):
    wire: str
    seed: int
    command: str
    machine: str
    seconds: float
    faults: dict[str, int]
    planned: int  # different messages that were sent, those that have to be refused left out
    acked: int
    tries: int
    unknowns: int
    repeated: int  # acks that said `replayed`
    refused: int
    ambiguous: int  # stored before anybody was told; then sent again
    ambiguous_replayed: int
    heard: int
    pages: int
    marks: int
    cuts: dict[str, int]  # by way, of those who keep a cursor
    limited: int
    resynced: int
    dropped_doorbells: int
    in_flight: Spread | None  # at the moment of each fault
    recovery: dict[str, Spread]
    staleness: dict[str, Staleness]
    closed: Spread | None  # seconds from the answer to a logout to the close of that session's sockets
    broken_off: str
    verdicts: list[Verdict]
    timeline: list[int]  # acks of each second
    struck: list[tuple[float, str]]

    @property
    def holds(self) -> bool:
        return not self.broken_off and all(one.holds for one in self.verdicts)

    @property
    def slow_kills(self) -> list[str]:
        """Where the goal for being ready again was missed."""
        return [kind for kind in KILLS if kind in self.recovery and self.recovery[kind].most > READY_GOAL]


def summarize(history: History, plan: Plan, *, command: str, seconds: float, dropped: int, broken_off: str) -> Summary:
    struck = [one for one in history.records if isinstance(one, Struck)]
    recovered = [one for one in history.records if isinstance(one, Recovered)]
    times: dict[str, list[float]] = defaultdict(list)
    for one in recovered:
        times[one.kind].append(one.seconds)
    named = Counter(one.kind for one in history.records if isinstance(one, Gap))
    return Summary(
        wire=plan.wire,
        seed=plan.seed,
        command=command,
        machine=f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}",
        seconds=round(seconds, 1),
        faults=dict(Counter(one.kind for one in struck)),
        planned=len({(sent.sender, sent.chat, sent.key) for _, sent in history.sends.values() if not sent.flaw}),
        acked=len({ack.position for _, ack in history.acks if not history.sends[ack.ref][1].flaw}),
        tries=len(history.sends),
        unknowns=len(history.unknowns),
        repeated=sum(ack.replayed for _, ack in history.acks),
        refused=len(history.refusals),
        ambiguous=sum(len(one.keys) for _, one in history.stored),
        ambiguous_replayed=ambiguous_replayed(history),
        heard=sum(len(line.heard) for line in history.lines.values()),
        pages=len(history.pages),
        marks=len(history.marks),
        cuts=dict(cuts(history)),
        limited=named["limited"],
        resynced=named["resync"],
        dropped_doorbells=dropped,
        in_flight=Spread.of([float(one.in_flight) for one in recovered]) if recovered else None,
        recovery={kind: Spread.of(some) for kind, some in sorted(times.items())},
        staleness=staleness(history),
        closed=closed(history),
        broken_off=broken_off,
        verdicts=judge(history),
        timeline=timeline(history),
        struck=[(round(one.at / 1e6, 2), one.kind) for one in struck],
    )


def ambiguous_replayed(history: History) -> int:
    ambiguous = {(one.sender, one.chat, key) for _, one in history.stored for key in one.keys}
    replayed = [history.sends[ack.ref][1] for _, ack in history.acks if ack.replayed]
    return len(ambiguous & {(sent.sender, sent.chat, sent.key) for sent in replayed})


def cuts(history: History) -> Counter[str]:
    """Pulled plugs, and connections that broke because somebody pulled another one."""
    return Counter(
        line.opened.way
        for lines in history.listeners.values()
        for line in lines
        if line.shut is not None and line.shut[1].why == "cut"
    )


def staleness(history: History) -> dict[str, Staleness]:
    acked: dict[int, int] = {}
    for _, ack in history.acks:
        acked.setdefault(ack.position, ack.at)
    late: dict[str, list[float]] = defaultdict(list)
    for _, line, said in history.said():
        # What was said while nobody listened on this line is a replay, not a delivery.
        if line.opened.listener and (at := acked.get(said.position)) is not None and at > line.opened.at:
            late[line.opened.way].append(max(0.0, (said.at - at) / 1000))
    found = {}
    for way in WAYS:
        if len(late[way]) >= ENOUGH:
            steps = quantiles(late[way], n=100)
            found[way] = Staleness(round(steps[49], 1), round(steps[98], 1), round(max(late[way]), 1))
    return found


def closed(history: History) -> Spread | None:
    ends = {one.session: one.at for _, one in history.ended}
    late = [
        max(0.0, (line.shut[1].at - ends[session]) / 1e6)
        for line in history.lines.values()
        if (session := session_of(history, line)) in ends and line.shut is not None
    ]
    return Spread.of(late) if late else None


def timeline(history: History) -> list[int]:
    each = Counter(ack.at // 1_000_000 for _, ack in history.acks)
    return [each[second] for second in range(max(each, default=0) + 1)]
