"""What breaks. Each fault returns the processes that it hit, and since when they may acknowledge again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import psutil  # type: ignore[import-untyped]

from proof.lab.processes import frozen
from proof.lab.proxy import Mood, Proxy
from proof.torture.ambiguous_sends import send_ambiguously
from proof.torture.journal import Asked
from proof.torture.membership_faults import kick, log_out
from proof.torture.plan import Fault
from proof.torture.scenario import Scenario

Hit = tuple[Sequence[int], float]
Strike = Callable[[Scenario, Fault], Awaitable[Hit]]
Harm = Callable[[Proxy, float], Awaitable[None]]  # done to a connection, for so many seconds
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
    with frozen(scenario.topology.processes[fault.process].workers()):
        await asyncio.sleep(fault.seconds)
    return (fault.process,), time.monotonic()


def writer(scenario: Scenario, fault: Fault) -> psutil.Process:
    """The worker that writes for the others; any of them while none is elected."""
    workers = scenario.topology.processes[fault.process].workers()
    writers = scenario.topology.cluster.writers()
    return next((one for one in workers if one.pid in writers), workers[0])


async def kill_writer(scenario: Scenario, fault: Fault) -> Hit:
    writer(scenario, fault).kill()
    return (fault.process,), time.monotonic()


async def stop_writer(scenario: Scenario, fault: Fault) -> Hit:
    with frozen([writer(scenario, fault)]):
        await asyncio.sleep(fault.seconds)
    return (fault.process,), time.monotonic()


async def lose_lock(scenario: Scenario, fault: Fault) -> Hit:
    """Somebody tidies the folder up: the socket is gone, and another worker can get a lock of the same name."""
    for file in scenario.topology.cluster.meetings():
        file.unlink(missing_ok=True)
    return (0, 1), time.monotonic()


async def stop_backends(scenario: Scenario, fault: Fault) -> Hit:
    """Half of what serves clients there, whatever it holds at that moment."""
    children = scenario.topology.cluster.postmaster().children()
    backends = [one for one in children if any("messenger messenger" in word for word in one.cmdline())]
    scenario.choice.shuffle(backends)
    with frozen(backends[: (len(backends) + 1) // 2]):
        await asyncio.sleep(fault.seconds)
    return (0, 1), time.monotonic()


async def cut(proxy: Proxy, seconds: float) -> None:
    proxy.cut()


async def be_silent(proxy: Proxy, seconds: float) -> None:
    await proxy.in_mood(Mood.SILENT, seconds)


async def swallow(proxy: Proxy, seconds: float) -> None:
    await proxy.in_mood(Mood.SWALLOWING, seconds)


def on_line(harm: Harm) -> Strike:
    async def strike(scenario: Scenario, fault: Fault) -> Hit:
        await harm(scenario.doors[fault.process], fault.seconds)
        return (fault.process,), time.monotonic()

    return strike


def on_database(harm: Harm) -> Strike:
    async def strike(scenario: Scenario, fault: Fault) -> Hit:
        await harm(scenario.topology.base, fault.seconds)
        return (1,), time.monotonic()

    return strike


def on_redis(harm: Harm) -> Strike:
    async def strike(scenario: Scenario, fault: Fault) -> Hit:
        assert scenario.topology.redis is not None
        await harm(scenario.topology.redis, fault.seconds)
        return (0, 1), time.monotonic()

    return strike


async def lose_doorbells(scenario: Scenario, fault: Fault) -> Hit:
    carrier = scenario.topology.redis or scenario.topology.base
    carrier.is_dropping = True
    await asyncio.sleep(fault.seconds)
    carrier.is_dropping = False
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


FAULTS: dict[str, Strike] = {
    "kill worker": kill_worker,
    "kill server": kill_server,
    "kill postgres": kill_postgres,
    "stop worker": stop_worker,
    "stop backends": stop_backends,
    "kill writer": kill_writer,
    "stop writer": stop_writer,
    "lost lock": lose_lock,
    "slow line": on_line(lambda proxy, seconds: proxy.slowly(SLOW_LINE, seconds)),
    "cut line": on_line(cut),
    "silent line": on_line(be_silent),
    "swallowed answers": on_line(swallow),
    "slow database": on_database(lambda proxy, seconds: proxy.slowly(SLOW_DATABASE, seconds)),
    "cut database": on_database(cut),
    "silent database": on_database(lambda proxy, seconds: be_silent(proxy, seconds * SILENCE)),
    "swallowed commits": on_database(lambda proxy, seconds: swallow(proxy, SWALLOWED_COMMITS + seconds / 4)),
    "lost doorbells": lose_doorbells,
    "cut redis": on_redis(cut),
    "silent redis": on_redis(be_silent),
    "kill redis": kill_redis,
    "rolling restart": restart_one_by_one,
    "kick": kick,
    "logout": log_out,
    "ambiguous": send_ambiguously,
}
