"""`python -m proof.torture`: faults by a seed under load, and a judgement over what was journaled outside."""

import argparse
import sys
import time
from pathlib import Path

import uvloop

from proof.torture import report
from proof.torture.cluster import judgement
from proof.torture.cluster import report as cluster_report
from proof.torture.cluster import run as cluster
from proof.torture.cluster.faults import KINDS
from proof.torture.history import History
from proof.torture.journal import read
from proof.torture.ledger import Ledger
from proof.torture.plan import OF_A_WIRE, SPEAKERS, Plan
from proof.torture.run import Bounds, Record, play
from proof.torture.summary import Summary, summarize

ENOUGH_SENDS, ENOUGH_FAULTS = 2000, 10**9


def main() -> None:
    options = arguments()
    options.report.mkdir(parents=True, exist_ok=True)
    if options.cluster:
        sys.exit(0 if break_machines(options).holds else 1)
    wires = list(OF_A_WIRE) if options.wire == "all" else [options.wire]
    bounded = options.faults is not None
    per_act = max(1, options.sends // options.faults) if bounded and options.sends else ENOUGH_SENDS
    bounds = Bounds(60 * options.minutes / len(wires), options.faults if bounded else ENOUGH_FAULTS, options.sends or 0)
    summaries = []
    for wire in wires:
        # A few sends of every act are such that they have to be refused: those that count are as many as wished for.
        plan = Plan(
            options.seed, wire, sends_per_act=int(per_act * 1.04) + len(SPEAKERS), ambiguous_per_act=options.ambiguous,
            workers=options.workers,
        )  # fmt: skip
        record = uvloop.run(play(plan, bounds, options.report, tell))
        summaries.append(judged(record))
        if summaries[-1].holds and not options.keep:
            for file in record.files:
                file.unlink()
        print(f"\n{report.text(summaries[-1])}\n", flush=True)
        report.write(options.report, summaries)
    tell(f"report: {options.report / 'report.html'}")
    sys.exit(0 if all(one.holds for one in summaries) else 1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proof.torture", description=__doc__)
    parser.add_argument("--wire", choices=[*OF_A_WIRE, "all"], default="all", help="between the two processes")
    parser.add_argument("--minutes", type=float, default=3.0, help="in all, whatever the other bounds say")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the faults and the sends")
    parser.add_argument("--faults", type=int, help="so many faults a wire are enough, if the sends are")
    parser.add_argument("--sends", type=int, help="so many acknowledged sends a wire are enough, if the faults are")
    parser.add_argument(
        "--ambiguous", type=int, default=500, help="sends whose answer is swallowed, at each such fault"
    )
    parser.add_argument("--workers", type=int, default=1, help="of each process")
    parser.add_argument("--report", type=Path, default=Path("torture-report"), help="folder")
    parser.add_argument("--keep", action="store_true", help="the journals, though nothing was broken; they are large")
    parser.add_argument(
        "--cluster", nargs="?", const="quorum", choices=list(KINDS), help="three machines, and how they commit"
    )
    parser.add_argument("--kinds", help="of faults of the machines: some of them, with commas between")
    parser.add_argument("--rate", type=int, default=500, help="sends a second before the machines")
    return parser.parse_args()


def break_machines(options: argparse.Namespace) -> judgement.Summary:
    kinds = tuple(options.kinds.split(",")) if options.kinds else KINDS[options.cluster]
    bounds = cluster.Bounds(60 * options.minutes, options.faults or len(kinds))
    record = cluster.Record(options.cluster, options.rate, options.seed, options.report)
    uvloop.run(cluster.play(record, kinds, bounds, tell))
    tell("judging")
    history = History(read(record.journal), Ledger.load(record.ledger))
    found = judgement.summarize(record, history, "python -m proof.torture " + " ".join(sys.argv[1:]))
    if found.holds and not options.keep:
        record.journal.unlink()
        record.ledger.unlink()
    cluster_report.write(options.report, found)
    print(f"\n{cluster_report.text(found)}\n", flush=True)
    return found


def judged(record: Record) -> Summary:
    tell(f"{record.plan.wire}: judging")
    history = History(read(record.journal), Ledger.load(record.ledger))
    command = "python -m proof.torture " + " ".join(sys.argv[1:])
    return summarize(
        history, record.plan, command=command, seconds=record.seconds, dropped=record.dropped,
        broken_off=record.broken,
    )  # fmt: skip


def tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
