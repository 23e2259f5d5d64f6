"""A run in figures and verdicts: the clauses, and what three machines promise beside them."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise

import msgspec

from proof.torture.clauses import Verdict, judge
from proof.torture.clauses.answers import unexplained
from proof.torture.cluster.faults import LEADERLESS, SILENCE_GOALS
from proof.torture.cluster.run import Record
from proof.torture.history import History
from proof.torture.journal import Gap, Recovered, Said, Struck

SECOND = 1_000_000
PATIENCE = 1.2  # seconds until a 503
# A probe is judged when it was asked so long after the last ack, and answered so long before the next one.
SURELY_LEADERLESS, NOT_YET_BACK = 1 * SECOND, 2 * SECOND
ON_ITS_WAY = SECOND // 2  # a standby may have answered before it stood still
OK = 200


class Blow(msgspec.Struct):
    """One fault: seconds, and how many."""

    kind: str
    at: float
    took: float
    acked: int  # from here to the next fault
    silence: float  # the longest time without an ack
    longest_wait: float  # of a try, until its answer
    unavailable: int
    late: int  # tries that were told nothing for longer than the patience

    @property
    def is_over_goal(self) -> bool:
        return self.silence > SILENCE_GOALS.get(self.kind, float("inf"))


class Summary(msgspec.Struct):
    mode: str
    rate: int
    seed: int
    command: str
    seconds: float
    sent: int
    acked: int
    tries: int
    held_back: int
    heard: int
    resynced: int
    lost: int
    probes: int
    faults: list[Blow]
    promotions: int
    epochs: int
    ends: dict[str, int]
    verdicts: list[Verdict]
    broken_off: str

    @property
    def holds(self) -> bool:
        return not self.broken_off and all(one.holds for one in self.verdicts)


def summarize(record: Record, history: History, command: str) -> Summary:
    clauses = asynchronous(history) if record.mode == "asynchronous" else judge(history)
    return Summary(
        mode=record.mode, rate=record.rate, seed=record.seed, command=command, seconds=round(record.seconds, 1),
        sent=len({(sent.sender, sent.chat, sent.key) for _, sent in history.sends.values()}),
        acked=len({ack.position for _, ack in history.acks}),
        tries=len(history.sends),
        held_back=record.held_back,
        heard=sum(len(line.heard) for line in history.lines.values()),
        resynced=sum(isinstance(one, Gap) and one.kind == "resync" for one in history.records),
        lost=len(list(lost_acks(history))),
        probes=len(record.probes),
        faults=list(struck(history)),
        promotions=record.promotions,
        epochs=record.epochs,
        ends=record.ends,
        verdicts=clauses + machines(record, history),
        broken_off=record.broken_off,
    )  # fmt: skip


def struck(history: History) -> Iterator[Blow]:
    took = {one.number: one.seconds for one in history.records if isinstance(one, Recovered)}
    told = [(ack.at, ack.ref, "") for _, ack in history.acks]
    told += [(one.at, one.ref, one.why) for _, one in history.unknowns]
    for one, end in windows(history):
        waits = [
            ((at - history.sends[ref][1].at) / SECOND, why)
            for at, ref, why in told
            if one.at <= at < end and ref in history.sends
        ]
        begun, over = silence(history, one.at, end)
        yield Blow(
            kind=one.kind,
            at=round(one.at / SECOND, 1),
            took=round(took.get(one.number, -1.0), 2),
            acked=sum(not why for _, why in waits),
            silence=round((over - begun) / SECOND, 2),
            longest_wait=round(max((wait for wait, _ in waits), default=0.0), 2),
            unavailable=sum(why == "503" for _, why in waits),
            late=sum(bool(why) and wait > PATIENCE for wait, why in waits),
        )


def windows(history: History) -> Iterator[tuple[Struck, int]]:
    """Each fault, and when the next one struck."""
    blows = [one for one in history.records if isinstance(one, Struck)]
    yield from zip(blows, [*(one.at for one in blows[1:]), history.records[-1].at + 1], strict=True)


def silence(history: History, begin: int, end: int) -> tuple[int, int]:
    """The longest time without an ack that lies there, or reaches into it."""
    acks = [ack.at for _, ack in history.acks]
    first, last = bisect_right(acks, begin), bisect_right(acks, end)
    times = [*acks[max(first - 1, 0) : last], end]
    return max(pairwise(times), key=lambda gap: gap[1] - gap[0], default=(begin, begin))


def verdict(name: str, sentence: str, found: list[str]) -> Verdict:
    return Verdict(name, sentence, not found, len(found), found[:20])


def machines(record: Record, history: History) -> list[Verdict]:
    epochs = [f"{record.epochs} epochs after {record.promotions} promotions"]
    early = [
        f"{(ack.at - begun) / SECOND:.2f} s after they stopped"
        for begun, over in record.alone
        for _, ack in history.acks
        if begun + ON_ITS_WAY < ack.at < over
    ]
    return [
        verdict("fsck", "The database is whole.", [record.damage] if record.damage else []),
        verdict("epochs", "Each promotion began one.", epochs if record.epochs != record.promotions + 1 else []),
        verdict("commits", "No wait for a standby was cancelled.", record.cancelled),
        verdict("processes", "No server was restarted.", ["other workers than before"] if record.restarted else []),
        verdict("alone", "While both standbys stand still, nothing is acknowledged.", early),
        verdict("ready", "While nobody leads, no server calls itself ready.", list(falsely_ready(record, history))),
    ]


def falsely_ready(record: Record, history: History) -> Iterator[str]:
    for one, end in windows(history):
        if one.kind in LEADERLESS:
            begun, over = silence(history, one.at, end)
            for probe in record.probes:
                is_judged = begun + SURELY_LEADERLESS < probe.asked_at and probe.at < over - NOT_YET_BACK
                if is_judged and probe.status == OK:
                    left = (over - probe.at) / SECOND
                    yield f"process {probe.process} {left:.1f} s before the next ack ({one.kind})"


# --- without a wait for standbys


def asynchronous(history: History) -> list[Verdict]:
    """What was lost is counted, not judged; who heard it has to be told."""
    return [
        verdict("resync", "Who had heard what was lost was told to load anew.", list(unwarned(history))),
        verdict("answers", "No 5xx but 503, and no refusal without a reason.", list(unexplained(history))),
    ]


def lost_acks(history: History) -> Iterator[str]:
    for _, ack in history.acks:
        sent = history.sends[ack.ref][1]
        row = history.rows.get((ack.chat, ack.seq))
        if row is None or row.position != ack.position or row.digest != sent.digest:
            yield sent.key


def unwarned(history: History) -> Iterator[str]:
    for name, lines in history.listeners.items():
        owed = 0
        for line in lines:
            for _, one in line.heard:
                if isinstance(one, Gap) and one.kind == "resync":
                    owed = 0
                elif isinstance(one, Said):
                    row = history.rows.get((one.chat, one.seq))
                    owed += row is None or row.position != one.position or row.digest != one.digest
        if owed:
            yield f"{name} heard {owed} messages that are gone and was not told"
