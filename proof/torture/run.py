"""One wire after the other: the acts of the plan, the last words, what the database holds, and the judgement."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proof.torture import acts
from proof.torture.journal import Journal
from proof.torture.ledger import Ledger, read_ledger
from proof.torture.plan import Plan
from proof.torture.scenario import running_scenario

END_LIMIT = 180.0  # for the last words, when nobody answers any more


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a run is long enough: so many faults and acknowledged sends, or so many seconds, whichever is first."""

    seconds: float
    faults: int
    sends: int


@dataclass(frozen=True, slots=True)
class Record:
    """What one run left behind."""

    plan: Plan
    folder: Path  # journal and ledger
    seconds: float
    dropped: int  # doorbells
    broken: str  # why it could not be played to its end

    @property
    def files(self) -> list[Path]:
        """What is needed only to find out why a clause is broken; the logs of the servers too."""
        return [self.journal, self.ledger, *self.folder.glob(f"server-{self.plan.wire}-*.log")]

    @property
    def journal(self) -> Path:
        return self.folder / f"journal-{self.plan.wire}.jsonl"

    @property
    def ledger(self) -> Path:
        return self.folder / f"ledger-{self.plan.wire}.json"


async def play(plan: Plan, bounds: Bounds, folder: Path, tell: Callable[[str], None]) -> Record:
    """In a folder of its own, which is gone afterwards; the record stays."""
    record = Record(plan, folder, 0, 0, "")
    own_folder = Path(tempfile.mkdtemp(prefix="messenger-torture-"))
    writing = Journal(record.journal)
    broken, began, dropped = "", time.monotonic(), 0
    try:
        async with running_scenario(plan, writing, own_folder) as scenario:
            began = time.monotonic()
            try:
                for act in plan.acts():
                    played = act.number - 1
                    enough = played >= bounds.faults and scenario.acked >= bounds.sends
                    if enough or time.monotonic() - began > bounds.seconds:
                        break
                    await acts.play(scenario, act)
                    tell(f"{plan.wire}: fault {act.number} ({act.fault.kind}), {scenario.acked} acknowledged")
            except acts.NotQuiet as error:
                broken = str(error)
            try:
                async with asyncio.timeout(END_LIMIT):
                    await scenario.end()
            except TimeoutError:
                broken = broken or "the last words could not be said"
            dropped = sum(one.dropped for one in (scenario.topology.base, scenario.topology.redis) if one is not None)
            found: Ledger = await read_ledger(scenario.topology.cluster)
            found.save(record.ledger)
    finally:
        writing.close()
        for number, said in enumerate(sorted(own_folder.glob("said-*"))):
            shutil.copyfile(said, folder / f"server-{plan.wire}-{number}.log")
        await asyncio.to_thread(shutil.rmtree, own_folder, ignore_errors=True)
    return Record(plan, folder, time.monotonic() - began, dropped, broken)
