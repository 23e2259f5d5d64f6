"""What was counted while it counted, and how it is told."""

import asyncio
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.load.meter import Meter, Used

TOOL_BOUND = 0.9
SETTLING = 10.0


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

    async def count(self, warm: float, seconds: float, families: dict[str, list[int]]) -> Used:
        await asyncio.sleep(warm)
        meter = Meter(families)
        self.is_counting = True
        await asyncio.sleep(seconds)
        self.is_counting = False
        return meter.read()


async def settled(is_so: Callable[[], bool], patience: float = SETTLING) -> bool:
    until = asyncio.get_running_loop().time() + patience
    while not is_so():
        if asyncio.get_running_loop().time() > until:
            return False
        await asyncio.sleep(0.01)
    return True


def quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def told(tally: Tally, used: Used) -> dict[str, Any]:
    """One measured part as plain numbers. What is void says so here and nowhere else."""
    ordered = sorted(tally.latencies)
    return {
        "seconds": used.seconds,
        "p50_ms": quantile(ordered, 0.5) * 1e3,
        "p99_ms": quantile(ordered, 0.99) * 1e3,
        "worst_ms": ordered[-1] * 1e3 if ordered else float("nan"),
        "cpu": used.families,
        "tool_share": used.tool,
        "others_share": used.others,
        "tool_bound": used.tool > TOOL_BOUND,
        "void": tally.faults,
    }
