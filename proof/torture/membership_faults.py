"""Who has to go in the middle of it: a member is removed, a session ends, while they speak and listen everywhere.

In every other case the process that is not told stands still meanwhile, and wakes up with yesterday's view.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress

from proof.lab.crowd import Client, sign_in
from proof.lab.processes import AWAY, frozen
from proof.lab.waiting import at_most, running
from proof.torture.journal import Ended
from proof.torture.plan import DOOR, Fault
from proof.torture.scenario import OWN_CHAT, Scenario
from proof.torture.speakers import Requester, Speaker

LONG_ENOUGH = 1.0  # a fault of more seconds than that comes with a process that stands still
PATIENCE = 15.0
ENOUGH_ACKED = 20


async def kick(scenario: Scenario, fault: Fault) -> tuple[Sequence[int], float]:
    chat, guest = scenario.chats[DOOR], scenario.topology.client("guest")
    if not scenario.is_guest_in:
        await scenario.let_guest(into=True)
    speaker = scenario.speaker("guest", f"guest {scenario.journal.lines}")
    speaker.give(scenario.own(DOOR, 60, "removed"))
    reading = [read_on(scenario, guest, process, chat) for process in range(2)]
    async with running(speaker.run(), *reading) as (_, *leaving):
        await at_most(fault.seconds, speaker.settled.wait())
        with standing_still(scenario, fault):
            await scenario.let_guest(into=False, process=fault.process)
            since = time.monotonic()
            speaker.give(scenario.own(DOOR, 10, "removed"))
        await asyncio.gather(*leaving)
        for process in range(2):
            await scenario.read(guest, process, chat, first=1, limit=1000)
        await at_most(PATIENCE, speaker.settled.wait())
    return (0, 1), since


async def read_on(scenario: Scenario, guest: Client, process: int, chat: int) -> None:
    """The whole chat again and again, until the door is shut."""
    until = time.monotonic() + PATIENCE
    while scenario.is_guest_in and time.monotonic() < until:
        await scenario.read(guest, process, chat, first=1, limit=1000)
        await asyncio.sleep(0.02)


async def log_out(scenario: Scenario, fault: Fault) -> tuple[Sequence[int], float]:
    actor = None
    while actor is None:
        with suppress(*AWAY, AssertionError):
            actor = await sign_in(scenario.topology.processes[fault.process], scenario.topology.people["leaver"].name)
    client = Client(scenario.topology.http, actor)
    speakers = [
        Speaker(actor, scenario.journal, [door], scenario.plan.random(f"leaver {scenario.journal.lines}"))
        for door in scenario.doors
    ]
    async with running(*(one.run() for one in speakers)) as tasks:
        for one in speakers:
            one.give(scenario.own(OWN_CHAT, 150, "ended"))
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not all(one.acked >= ENOUGH_ACKED for one in speakers):
                    await asyncio.sleep(0.005)
        with standing_still(scenario, fault):
            await end_session(scenario, client, fault.process, speakers[0].session)
            ended = time.monotonic()
            for one in speakers:
                one.give(scenario.own(OWN_CHAT, 20, "ended"))
        await try_ended_session(scenario, client, speakers[0].session)
        await at_most(PATIENCE, asyncio.gather(*tasks))
    return (0, 1), ended


async def end_session(scenario: Scenario, client: Client, process: int, session: int) -> None:
    """Until somebody has answered that it is over."""
    since = scenario.journal.lines
    while True:
        with suppress(*AWAY):
            answer = await client.asks(scenario.doors[process], "POST", "/v1/auth/logout", seconds=5)
            if answer.status in {200, 401}:  # 401: an earlier try has done it
                scenario.journal.write(Ended(scenario.journal.now, since, session))
                return
        await asyncio.sleep(0.1)


async def try_ended_session(scenario: Scenario, client: Client, session: int) -> None:
    """Nobody opens, at either process."""
    for process in range(2):
        await scenario.ask(client, process, "GET", "/v1/chats", None, what="look", session=session)
        for saying in scenario.own(OWN_CHAT, 2, "ended"):
            asker = Requester(client, scenario.journal, scenario.doors, scenario.choice, session=session)
            await asker.say(saying, process)


def standing_still(scenario: Scenario, fault: Fault) -> AbstractContextManager[None]:
    return frozen(scenario.topology.processes[1 - fault.process].workers() if fault.seconds > LONG_ENOUGH else [])
