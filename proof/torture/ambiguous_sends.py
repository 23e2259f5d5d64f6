"""Sends whose answers are swallowed after the commit, and that are told again on the other process."""

import asyncio
import time
from collections.abc import Sequence

from proof.lab.proxy import Mood, Proxy
from proof.lab.waiting import happens, running
from proof.torture.journal import Stored
from proof.torture.plan import Fault
from proof.torture.scenario import OWN_CHAT, Scenario
from proof.torture.speakers import Saying, Speaker

AT_ONCE = 250
PATIENCE = 30.0


async def send_ambiguously(scenario: Scenario, fault: Fault) -> tuple[Sequence[int], float]:
    speaker = scenario.speaker(
        "ambiguous sender", f"ambiguous sender {scenario.journal.lines}", scenario.topology.swallowing
    )
    speaker.window, speaker.stalled = AT_ONCE, PATIENCE  # it waits for answers that will not come
    process, left = fault.process, scenario.plan.ambiguous_per_act
    async with running(speaker.run()):
        while left > 0:
            some = scenario.own(OWN_CHAT, min(left, AT_ONCE))
            left -= len(some)
            await swallow(scenario, speaker, process, some)
            process = 1 - process
    return (0, 1), time.monotonic()


async def swallow(scenario: Scenario, speaker: Speaker, process: int, some: Sequence[Saying]) -> None:
    door = scenario.topology.swallowing[process]
    await move(speaker, door)
    door.mood = Mood.SWALLOWING
    speaker.give(some)
    await be_stored(scenario, speaker, some)
    keys = [one.draft.key for one in some]
    scenario.journal.write(Stored(scenario.journal.now, int(speaker.actor.user_id), some[0].chat, keys))
    speaker.doors = [scenario.doors[1 - process]]
    door.mood = Mood.OPEN
    door.cut()
    async with asyncio.timeout(PATIENCE):
        await speaker.settled.wait()


async def move(speaker: Speaker, door: Proxy) -> None:
    """Until it has a connection through this door, and was greeted."""
    speaker.doors = [door]

    async def is_there() -> bool:
        if speaker.pipe is not None and speaker.door is not door:
            speaker.pipe.abort("moves")
        return speaker.pipe is not None and speaker.door is door and speaker.is_greeted

    await happens(is_there, "a socket through the door", PATIENCE)


async def be_stored(scenario: Scenario, speaker: Speaker, some: Sequence[Saying]) -> None:
    keys, sender = [f"c:{one.draft.key}" for one in some], int(speaker.actor.user_id)
    async with scenario.topology.cluster.connected() as connection:

        async def is_stored() -> bool:
            return bool(await connection.fetchval(STORED, some[0].chat, sender, keys) == len(keys))

        await happens(is_stored, "the commit of what was asked", PATIENCE)


STORED = "select count(*) from messages where chat_id = $1 and sender_id = $2 and key = any($3)"
