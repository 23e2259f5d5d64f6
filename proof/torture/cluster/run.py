"""A run: fault after fault under an even load, then the judgement over what was journaled outside."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from subprocess import run as run_program
from sys import executable

from proof.lab.machines import Machines
from proof.lab.processes import ROOT, clean_environment
from proof.torture.cluster.faults import FAULTS
from proof.torture.cluster.scene import Probe, Scene, running_scene
from proof.torture.journal import Journal, Recovered, Struck
from proof.torture.ledger import Ledger, read_ledger

QUIET = 4.0  # seconds of load before each fault
CANCELLED = "canceling wait for synchronous replication"
FSCK_LIMIT = 120


@dataclass(frozen=True, slots=True)
class Bounds:
    seconds: float
    faults: int


@dataclass
class Record:
    """What one run left behind."""

    mode: str
    rate: int
    seed: int
    folder: Path
    seconds: float = 0.0
    held_back: int = 0
    probes: list[Probe] = field(default_factory=list)
    alone: list[tuple[int, int]] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)
    restarted: bool = False
    promotions: int = 0
    epochs: int = 0
    damage: str = ""
    cancelled: list[str] = field(default_factory=list)
    broken_off: str = ""

    @property
    def journal(self) -> Path:
        return self.folder / f"journal-{self.mode}.jsonl"

    @property
    def ledger(self) -> Path:
        return self.folder / f"ledger-{self.mode}.json"


def plan(kinds: tuple[str, ...], seed: int) -> Iterator[str]:
    """Each kind once before any comes again."""
    choice = Random(f"{seed} cluster")  # noqa: S311
    while True:
        yield from choice.sample(kinds, len(kinds))


async def play(record: Record, kinds: tuple[str, ...], bounds: Bounds, tell: Callable[[str], None]) -> Record:
    own_folder = Path(tempfile.mkdtemp(prefix="messenger-torture-"))
    journal = Journal(record.journal)
    try:
        async with running_scene(own_folder, journal, mode=record.mode, rate=record.rate, seed=record.seed) as scene:
            began, before = time.monotonic(), scene.workers()
            try:
                for number, kind in enumerate(plan(kinds, record.seed), 1):
                    if number > bounds.faults or time.monotonic() - began > bounds.seconds:
                        break
                    await strike(scene, number, kind)
                    tell(f"{record.mode}: fault {number} ({kind}), {scene.acked} acknowledged")
                await scene.end()
            except (AssertionError, TimeoutError) as error:
                record.broken_off = str(error) or "what was sent was not settled"
            record.seconds = time.monotonic() - began
            record.held_back, record.probes, record.ends = scene.held_back, scene.probes, dict(scene.ends())
            record.alone = scene.alone
            record.restarted = scene.workers() != before
            await look(record, scene.machines)
    finally:
        journal.close()
        keep_logs(own_folder, record)
        await asyncio.to_thread(shutil.rmtree, own_folder, ignore_errors=True)
    return record


async def strike(scene: Scene, number: int, kind: str) -> None:
    await asyncio.sleep(QUIET)
    journal, began = scene.journal, time.monotonic()
    journal.write(Struck(journal.now, number, kind, 0))
    await FAULTS[kind](scene)
    in_flight = sum(one.unsettled for one in scene.senders)
    journal.write(Recovered(journal.now, number, kind, time.monotonic() - began, in_flight))
    for machine in scene.machines.machines:
        scene.machines.start_machine(machine)
    await scene.machines.healed()


async def look(record: Record, machines: Machines) -> None:
    """What the database holds in the end."""
    found: Ledger = await read_ledger(machines)
    found.save(record.ledger)
    record.promotions = await machines.timeline() - 1
    async with machines.connected() as connection:
        record.epochs = await connection.fetchval("select count(*) from log_epochs")
    environment = {
        **clean_environment(), "PYTHONPATH": str(ROOT), "DATA_DIR": str(machines.folder / "fsck"),
        "DATABASE_URL": machines.haproxies[0].dsn("messenger", machines.password),
    }  # fmt: skip
    command = [executable, "-m", "messenger.run.admin", "fsck", "--json"]
    done = await asyncio.to_thread(
        run_program, command, capture_output=True, env=environment, check=False, timeout=FSCK_LIMIT, text=True
    )
    record.damage = "" if done.returncode == 0 else (done.stdout + done.stderr)[-2000:]


def keep_logs(own_folder: Path, record: Record) -> None:
    for log in own_folder.glob("machine*/*.log"):
        shutil.copyfile(log, record.folder / log.name)
        record.cancelled += [line for line in log.read_text(errors="replace").splitlines() if CANCELLED in line]
    for number, said in enumerate(sorted(own_folder.glob("server*/said-*"))):
        shutil.copyfile(said, record.folder / f"server-{number}.log")
