"""What families of processes used, read from /proc: CPU seconds (finer than ticks where the kernel has it), memory."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

TICK = 1 / os.sysconf("SC_CLK_TCK")
KIB = 1024


def members(roots: Iterable[int]) -> list[int]:
    """Each once: the keeper is a root, and the postmaster may be its child."""
    found: dict[int, None] = {}
    for pid in roots:
        with suppress(psutil.NoSuchProcess):
            found |= dict.fromkeys([pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))])
    return list(found)


def cpu_of(pid: int) -> float:
    """Its own seconds, all threads, and those of the children it has buried."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        own = sum(int(ticks) for ticks in fields[11:13]) * TICK
        buried = sum(int(ticks) for ticks in fields[13:15]) * TICK
        with suppress(OSError, ValueError):
            tasks = os.listdir(f"/proc/{pid}/task")
            exact = sum(int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0]) for task in tasks) / 1e9
            # Threads that have ended are in the ticks only.
            own = exact if exact > own - 2 * TICK else own
        return own + buried
    return 0.0


def memory(roots: Iterable[int]) -> int:
    """Proportional set size in bytes: what is shared with a forebear is counted once."""
    total = 0
    for pid in members(roots):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * KIB
    return total


def machine_busy() -> float:
    """Seconds that all cores together were not idle."""
    ticks = [int(one) for one in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) * TICK


@dataclass(frozen=True)
class Used:
    """Between two looks. `others` is the share of the whole machine that nobody of us used: the noise."""

    seconds: float
    families: dict[str, float]
    tool: float
    others: float


class Meter:
    def __init__(self, families: Mapping[str, Sequence[int]]) -> None:
        self._roots = dict(families)
        # Found beforehand: walking through /proc would cost the measured part some milliseconds.
        self._known = {name: members(roots) for name, roots in families.items()}
        self._before = self._look()
        self._machine = machine_busy()
        self._tool = time.process_time()
        self._began = time.perf_counter()

    def _look(self) -> dict[int, float]:
        return {pid: cpu_of(pid) for pids in self._known.values() for pid in pids}

    def read(self) -> Used:
        seconds = time.perf_counter() - self._began
        tool = time.process_time() - self._tool
        now = self._look()
        machine = machine_busy() - self._machine
        used = {}
        for name, roots in self._roots.items():
            newcomers = [pid for pid in members(roots) if pid not in self._before]
            used[name] = sum(max(0.0, now[pid] - self._before[pid]) for pid in self._known[name])
            used[name] += sum(cpu_of(pid) for pid in newcomers)
        free = seconds * (os.cpu_count() or 1)
        others = max(0.0, machine - sum(used.values()) - tool) / free
        return Used(seconds, used, tool / seconds, others)
