"""What was counted while it counted, and the figures of it."""

import asyncio
import subprocess
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from proof.bench.load.meter import Meter, Used

TOOL_BOUND = 0.9
SETTLING = 10.0


class Asker(Protocol):
    is_waiting: bool


@dataclass
class Tally:
    """`latencies` in seconds; filled only while the clock runs."""

    is_going: bool = True
    is_counting: bool = False
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    deliveries: int = 0
    faults: list[str] = field(default_factory=list)

    def fault(self, what: str) -> None:
        if len(self.faults) < 10:
            self.faults.append(what[:300])

    async def count(self, spec: dict[str, Any], mark: Callable[[], None] = lambda: None) -> Used:
        """`mark` is called when the clock starts and when it stops."""
        await asyncio.sleep(spec["warm"])
        watching = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in spec["watchers"]]
        meter = Meter(spec["families"])
        mark()
        self.is_counting = True
        await asyncio.sleep(spec["seconds"])
        self.is_counting = False
        used = meter.read()
        mark()
        for watcher in watching:
            watcher.wait(SETTLING)
        return used

    async def finish(self, askers: Sequence[Asker], fault: str) -> None:
        """Nothing new is asked; what was asked is still answered."""
        self.is_going = False
        if not await settled(lambda: not any(one.is_waiting for one in askers)):
            self.fault(fault)


async def settled(is_so: Callable[[], bool], patience: float = SETTLING) -> bool:
    until = asyncio.get_running_loop().time() + patience
    while not is_so():
        if asyncio.get_running_loop().time() > until:
            return False
        await asyncio.sleep(0.01)
    return True


def quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class Bins:
    """Latencies by the millions: how many fell into each hundredth of a millisecond, up to ten seconds."""

    PER_SECOND = 1e5
    MOST = 1_000_000

    def __init__(self) -> None:
        self.counts = array("Q", bytes(8 * self.MOST))

    def add(self, seconds: float) -> None:
        self.counts[min(int(seconds * self.PER_SECOND), self.MOST - 1)] += 1

    def quantile(self, share: float) -> float:
        wanted = share * sum(self.counts)
        seen = 0
        for place, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return (place + 0.5) / self.PER_SECOND
        return float("nan")


def figures_of(tally: Tally, used: Used, bins: Bins | None = None) -> dict[str, Any]:
    """One measured part as plain numbers. What is void says so here and nowhere else."""
    ordered = sorted(tally.latencies)

    def at(share: float) -> float:
        return (quantile(ordered, share) if bins is None else bins.quantile(share)) * 1e3

    return {
        "seconds": used.seconds,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "worst_ms": at(1.0),
        "cpu": used.families,
        "tool_share": used.tool,
        "others_share": used.others,
        "tool_bound": used.tool > TOOL_BOUND,
        "void": list(tally.faults),
    }
