"""What breaks on three machines. Each fault returns when what it broke is to be started again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import psutil  # type: ignore[import-untyped]

from proof.lab.machines import Machine
from proof.lab.processes import end_all, frozen
from proof.torture.cluster.scene import Scene

FROZEN = 30.0
PRIMARY_FROZEN = 26.0  # longer than its lease
ETCD_AWAY = 60.0
SETTLING = 20.0  # until Patroni's watches of an etcd that came back are not late any more
ALONE = 15.0
AHEAD = 1.0

Strike = Callable[[Scene], Awaitable[None]]


def kill(processes: Sequence[psutil.Process]) -> None:
    """All at once: nobody sees another one end."""
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.suspend()
    end_all(processes)


def database(machine: Machine) -> list[psutil.Process]:
    return [*machine.patroni.processes(), *machine.patroni.postgres()]


async def kill_primary(scene: Scene) -> None:
    leader = await scene.machines.sure_leader()
    await asyncio.to_thread(kill, leader.patroni.postgres())
    await scene.recovery()


async def lose_primary(scene: Scene) -> None:
    leader = await scene.machines.sure_leader()
    await asyncio.to_thread(kill, leader.processes())
    await scene.recovery()


async def lose_ahead(scene: Scene) -> None:
    """Its machine goes with a second of acks that nobody else has."""
    leader = await scene.machines.sure_leader()
    senders = [one for one in leader.patroni.postgres() if any("walsender" in word for word in one.cmdline())]
    with frozen(senders):
        await asyncio.sleep(AHEAD)
        await asyncio.to_thread(kill, leader.processes())
    await scene.recovery()


async def freeze_primary(scene: Scene) -> None:
    leader = await scene.machines.sure_leader()
    with frozen(leader.processes()):
        await asyncio.sleep(PRIMARY_FROZEN)
    await scene.recovery()


async def switch_over(scene: Scene) -> None:
    await scene.machines.switch_over()
    await scene.recovery()


async def freeze_standby(scene: Scene) -> None:
    """The one that acknowledges most of the commits, or the other one."""
    standby = scene.choice.choice(await scene.machines.standbys())
    with frozen(database(standby)):
        await asyncio.sleep(FROZEN)
    await scene.recovery()


async def kill_patroni(scene: Scene) -> None:
    """Its PostgreSQL goes on, and nobody may ask it any more."""
    leader = await scene.machines.sure_leader()
    await asyncio.to_thread(kill, leader.patroni.processes())
    await scene.machines.sure_leader(after=leader)
    await scene.recovery()


async def lose_etcd(scene: Scene) -> None:
    for machine in scene.machines.machines:
        await asyncio.to_thread(kill, machine.etcd.processes())
    await asyncio.sleep(ETCD_AWAY)
    await scene.recovery()
    for machine in scene.machines.machines:
        scene.machines.start_machine(machine)
    await asyncio.sleep(SETTLING)


@asynccontextmanager
async def alone(scene: Scene) -> AsyncIterator[Machine]:
    """The primary, while both standbys stand still."""
    leader, standbys = await scene.machines.sure_leader(), await scene.machines.standbys()
    with frozen([process for one in standbys for process in database(one)]):
        began = scene.journal.now
        yield leader
        scene.alone.append((began, scene.journal.now))


async def freeze_standbys(scene: Scene) -> None:
    async with alone(scene):
        await asyncio.sleep(FROZEN)
    await scene.recovery()


async def crash_alone(scene: Scene) -> None:
    """The primary crashes while nobody has what it wrote last, and comes back in its place."""
    async with alone(scene) as leader:
        await asyncio.sleep(2)
        await asyncio.to_thread(kill, leader.patroni.postgres())
        await asyncio.sleep(ALONE)
    await scene.recovery()


FAULTS: dict[str, Strike] = {
    "kill primary": kill_primary,
    "lose primary": lose_primary,
    "lose primary ahead": lose_ahead,
    "freeze primary": freeze_primary,
    "switchover": switch_over,
    "freeze standby": freeze_standby,
    "kill patroni": kill_patroni,
    "lose etcd": lose_etcd,
    "freeze standbys": freeze_standbys,
    "crash alone": crash_alone,
}
# With both standbys away a cluster that is not strict lets its primary write alone.
STRICT_ONLY = ("freeze standbys", "crash alone")
LOSING = ("lose primary ahead",)  # where commits wait for nobody
KINDS = {
    "quorum": tuple(one for one in FAULTS if one not in STRICT_ONLY + LOSING),
    "strict": tuple(one for one in FAULTS if one not in LOSING),
    "asynchronous": ("kill primary", "lose primary", "lose primary ahead", "switchover"),
}
# Seconds without an ack that a fault may cost; longer breaks no promise and is named.
SILENCE_GOALS = {
    "kill primary": 5.0,
    "lose primary": 25.0,
    "lose primary ahead": 25.0,
    "freeze primary": 25.0,
    "switchover": 4.0,
    "freeze standby": 1.0,
    "kill patroni": 25.0,
    "lose etcd": 5.0,
}
# While these strike nobody leads for a while, and a server must say so.
LEADERLESS = ("kill primary", "lose primary", "switchover", "kill patroni")
