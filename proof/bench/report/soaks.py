"""What a soak says: minute by minute, and the three claims about it."""

from collections.abc import Iterator
from typing import Any

from proof.bench.report.tables import number, table, verdicts_of

SLOWER = 1.5
FLAT = 0.05


def claims(found: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    minutes, journal = found["minutes"], found["journal"]
    for name in ("sends", "group"):
        first, last = minutes[0][f"{name}_p99_ms"], minutes[-1][f"{name}_p99_ms"]
        said = f"{number(first)} ms, then {number(last)} ms"
        yield f"p99 of {name} in the last minute ≤ {SLOWER} × the first", said, last <= SLOWER * first
    after = [one["memory_mib"]["server"] for one in minutes[1:]] or [minutes[0]["memory_mib"]["server"]]
    middle = (max(after) + min(after)) / 2
    said = f"{number(min(after))}..{number(max(after))} MiB"
    yield "memory flat (± 5 %) after the first minute", said, max(after) - middle <= FLAT * middle
    wrong = journal["lost"] + journal["doubled"] + journal["told_otherwise"] + journal["never_acked"]
    said = f"{journal['acked']} acknowledged, {found['delivered']} delivered; {wrong} wrong by the journal"
    yield "nothing lost, nothing doubled", said, not wrong and not found["void"] and journal["acked"] == found["acked"]


def everything(found: dict[str, Any]) -> str:
    rows = [
        [
            str(place),
            number(one["acked_per_s"]),
            *(number(one[name]) for name in ("sends_p50_ms", "sends_p99_ms", "group_p50_ms", "group_p99_ms")),
            *(number(one["memory_mib"][name]) for name in ("server", "postgres")),
            *(number(one["cpu_share"][name]) for name in ("server", "postgres")),
        ]
        for place, one in enumerate(found["minutes"], 1)
    ]
    head = ["minute", "acked/s", "sends p50 ms", "p99 ms", "group p50 ms", "p99 ms"]
    head += ["server MiB", "pg MiB", "server CPU", "pg CPU"]
    verdicts = verdicts_of(claims(found))
    faults = [f"VOID: {fault}" for fault in found["void"]]
    return "\n\n".join([table(head, rows), verdicts, *faults])
