"""What breaks. Each fault returns the processes that it hit, and since when they may acknowledge again."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import psutil  # type: ignore[import-untyped]

from proof.lab.proxy import Mood
from proof.torture.ambiguous_sends import send_ambiguously
from proof.torture.journal import Asked
from proof.torture.membership_faults import kick, log_out
from proof.torture.plan import Fault
from proof.torture.scenario import Scenario

Hit = tuple[Sequence[int], float]
SLOW_LINE, SLOW_DATABASE = 0.2, 0.05
# Long enough that those who wait are told `unavailable` although it was stored.
SWALLOWED_COMMITS = 1.1
SILENCE = 4  # times as long: some of these reach the product's own deadlines for a statement
STOP_PATIENCE = 30


async def kill_worker(scenario: Scenario, fault: Fault) -> Hit:
    scenario.topology.processes[fault.process].kill_workers()
    return (fault.process,), time.monotonic()


async def kill_server(scenario: Scenario, fault: Fault) -> Hit:
    process, since = scenario.topology.processes[fault.process], time.monotonic()
    await asyncio.to_thread(process.kill)
    process.start()
    return (fault.process,), since


async def kill_postgres(scenario: Scenario, fault: Fault) -> Hit:
    since = time.monotonic()
    await asyncio.to_thread(scenario.topology.cluster.kill_postgres)
    return (0, 1), since


async def stop_worker(scenario: Scenario, fault: Fault) -> Hit:
    await stopped(scenario.topology.processes[fault.process].workers(), fault.seconds)
    return (fault.process,), time.monotonic()


async def stop_backends(scenario: Scenario, fault: Fault) -> Hit:
    """Half of what serves clients there, whatever it holds at that moment."""
    note = scenario.topology.cluster.database_folder / "postmaster.pid"
    postmaster = psutil.Process(int(note.read_text().split()[0]))
    backends = [one for one in postmaster.children() if any("messenger messenger" in word for word in one.cmdline())]
    scenario.choice.shuffle(backends)
    await stopped(backends[: (len(backends) + 1) // 2], fault.seconds)
    return (0, 1), time.monotonic()


async def stopped(processes: Sequence[psutil.Process], seconds: float) -> None:
    """SIGSTOP, and SIGCONT whatever happens."""
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        for one in processes:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGCONT)


async def slow_line(scenario: Scenario, fault: Fault) -> Hit:
    await scenario.doors[fault.process].slowly(SLOW_LINE, fault.seconds)
    return (fault.process,), time.monotonic()


async def cut_line(scenario: Scenario, fault: Fault) -> Hit:
    scenario.doors[fault.process].cut()
    return (fault.process,), time.monotonic()


async def silent_line(scenario: Scenario, fault: Fault) -> Hit:
    await scenario.doors[fault.process].in_mood(Mood.SILENT, fault.seconds)
    return (fault.process,), time.monotonic()


async def swallow_answers(scenario: Scenario, fault: Fault) -> Hit:
    await scenario.doors[fault.process].in_mood(Mood.SWALLOWING, fault.seconds)
    return (fault.process,), time.monotonic()


async def slow_database(scenario: Scenario, fault: Fault) -> Hit:
    await scenario.topology.base.slowly(SLOW_DATABASE, fault.seconds)
    return (1,), time.monotonic()


async def cut_database(scenario: Scenario, fault: Fault) -> Hit:
    scenario.topology.base.cut()
    return (1,), time.monotonic()


async def silent_database(scenario: Scenario, fault: Fault) -> Hit:
    await scenario.topology.base.in_mood(Mood.SILENT, fault.seconds * SILENCE)
    return (1,), time.monotonic()


async def swallow_commits(scenario: Scenario, fault: Fault) -> Hit:
    await scenario.topology.base.in_mood(Mood.SWALLOWING, SWALLOWED_COMMITS + fault.seconds / 4)
    return (1,), time.monotonic()


async def lose_doorbells(scenario: Scenario, fault: Fault) -> Hit:
    carrier = scenario.topology.redis or scenario.topology.base
    carrier.is_dropping = True
    await asyncio.sleep(fault.seconds)
    carrier.is_dropping = False
    return (0, 1), time.monotonic()


async def cut_redis(scenario: Scenario, fault: Fault) -> Hit:
    assert scenario.topology.redis is not None
    scenario.topology.redis.cut()
    return (0, 1), time.monotonic()


async def silent_redis(scenario: Scenario, fault: Fault) -> Hit:
    assert scenario.topology.redis is not None
    await scenario.topology.redis.in_mood(Mood.SILENT, fault.seconds)
    return (0, 1), time.monotonic()


async def kill_redis(scenario: Scenario, fault: Fault) -> Hit:
    valkey, since = scenario.topology.valkey, time.monotonic()
    assert valkey is not None
    valkey.kill()
    seconds = await scenario.recovery((0, 1), since)
    await asyncio.sleep(fault.seconds)  # without it, and acknowledging all the same
    valkey.start()
    return (), time.monotonic() - seconds


async def restart_one_by_one(scenario: Scenario, fault: Fault) -> Hit:
    """As at an upgrade: a stop by SIGTERM, a start, and only then the next. The seconds are those of the slower one."""
    longest = 0.0
    for number in (fault.process, 1 - fault.process):
        process, since = scenario.topology.processes[number], time.monotonic()
        assert process.popen is not None
        process.popen.terminate()
        code = await asyncio.to_thread(process.popen.wait, STOP_PATIENCE)
        journal = scenario.journal
        journal.write(Asked(journal.now, journal.lines, 0, number, "stop", 0, f"exit {code}"))
        process.start()
        longest = max(longest, await scenario.recovery((number,), since))
    return (), time.monotonic() - longest


FAULTS: dict[str, Callable[[Scenario, Fault], Awaitable[Hit]]] = {
    "kill worker": kill_worker,
    "kill server": kill_server,
    "kill postgres": kill_postgres,
    "stop worker": stop_worker,
    "stop backends": stop_backends,
    "slow line": slow_line,
    "cut line": cut_line,
    "silent line": silent_line,
    "swallowed answers": swallow_answers,
    "slow database": slow_database,
    "cut database": cut_database,
    "silent database": silent_database,
    "swallowed commits": swallow_commits,
    "lost doorbells": lose_doorbells,
    "cut redis": cut_redis,
    "silent redis": silent_redis,
    "kill redis": kill_redis,
    "rolling restart": restart_one_by_one,
    "kick": kick,
    "logout": log_out,
    "ambiguous": send_ambiguously,
}
