"""A run in figures and verdicts: the clauses, and what three machines promise beside them."""

from bisect import bisect_right
from collections.abc import Iterator

import msgspec

from proof.torture.clauses import Verdict, judge
from proof.torture.clauses.answers import unexplained
from proof.torture.cluster.faults import LEADERLESS, SILENCE_GOALS
from proof.torture.cluster.run import Record
from proof.torture.history import History
from proof.torture.journal import Gap, Recovered, Said, Struck, Unknown

SECOND = 1_000_000
PATIENCE = 1.2  # seconds until a 503
# A probe is judged when it was asked so long after the last ack, and answered so long before the next one.
SURELY_LEADERLESS, NOT_YET_BACK = 1.0, 2.0


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
    faults = list(struck(history))
    lost = list(lost_acks(history))
    clauses = asynchronous(history) if record.mode == "asynchronous" else judge(history)
    return Summary(
        mode=record.mode, rate=record.rate, seed=record.seed, command=command, seconds=round(record.seconds, 1),
        sent=len({(sent.sender, sent.chat, sent.key) for _, sent in history.sends.values()}),
        acked=len({ack.position for _, ack in history.acks}),
        tries=len(history.sends),
        held_back=record.held_back,
        heard=sum(len(line.heard) for line in history.lines.values()),
        resynced=sum(isinstance(one, Gap) and one.kind == "resync" for one in history.records),
        lost=len(lost),
        probes=len(record.probes),
        faults=faults,
        promotions=record.promotions,
        epochs=record.epochs,
        ends=record.ends,
        verdicts=clauses + machines(record, history, faults),
        broken_off=record.broken_off,
    )  # fmt: skip


def struck(history: History) -> Iterator[Blow]:
    acks = [ack.at for _, ack in history.acks]
    took = {one.number: one.seconds for one in history.records if isinstance(one, Recovered)}
    all_struck = [one for one in history.records if isinstance(one, Struck)]
    ends = [one.at for one in all_struck[1:]] + [history.records[-1].at]
    answered = {ack.ref: ack.at for _, ack in history.acks}
    unknown = {one.ref: one for _, one in history.unknowns}
    for one, end in zip(all_struck, ends, strict=True):
        first, last = bisect_right(acks, one.at), bisect_right(acks, end)
        times = [acks[first - 1] if first else one.at, *acks[first:last]]
        waits, late, unavailable = [0.0], 0, 0
        for _, sent in history.sends.values():
            if one.at <= sent.at < end:
                away: Unknown | None = unknown.get(sent.ref)
                at = answered.get(sent.ref, away.at if away is not None else end)
                waits.append((at - sent.at) / SECOND)
                unavailable += away is not None and away.why == "503"
                late += away is not None and waits[-1] > PATIENCE
        yield Blow(
            one.kind, round(one.at / SECOND, 1), round(took.get(one.number, -1.0), 2), last - first,
            round(max((b - a for a, b in zip(times, times[1:], strict=False)), default=0) / SECOND, 2),
            round(max(waits), 2), unavailable, late,
        )  # fmt: skip


def verdict(name: str, sentence: str, found: list[str]) -> Verdict:
    return Verdict(name, sentence, not found, len(found), found[:20])


def machines(record: Record, history: History, faults: list[Blow]) -> list[Verdict]:
    epochs = [f"{record.epochs} epochs after {record.promotions} promotions"]
    return [
        verdict("fsck", "The database is whole.", [record.damage] if record.damage else []),
        verdict("epochs", "Each promotion began one.", epochs if record.epochs != record.promotions + 1 else []),
        verdict("commits", "No wait for a standby was cancelled.", record.cancelled),
        verdict("processes", "No server was restarted.", ["other workers than before"] if record.restarted else []),
        verdict("ready", "While nobody leads, no server calls itself ready.", list(falsely_ready(record, history))),
    ]


def falsely_ready(record: Record, history: History) -> Iterator[str]:
    acks = [ack.at for _, ack in history.acks]
    all_struck = [one for one in history.records if isinstance(one, Struck) and one.kind in LEADERLESS]
    for one in all_struck:
        before = bisect_right(acks, one.at)
        window = [one.at, *[at for at in acks[before:] if at < one.at + 60 * SECOND]]
        gap, begin, end = max(
            ((b - a, a, b) for a, b in zip(window, window[1:], strict=False)), default=(0, 0, 0)
        )  # fmt: skip
        for probe in record.probes:
            asked_late = probe.asked_at > begin + SURELY_LEADERLESS * SECOND
            if gap and asked_late and probe.at < end - NOT_YET_BACK * SECOND and probe.status == 200:
                yield f"process {probe.process} {(end - probe.at) / SECOND:.1f} s before the next ack ({one.kind})"


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
