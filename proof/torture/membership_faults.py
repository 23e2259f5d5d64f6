"""Who has to go in the middle of it: a member is removed, a session ends, while they speak and listen everywhere.

In every other case the process that is not told stands still meanwhile, and wakes up with yesterday's view.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import psutil  # type: ignore[import-untyped]

from proof.lab.crowd import Client, sign_in
from proof.lab.processes import AWAY
from proof.lab.waiting import running
from proof.torture.journal import Ended
from proof.torture.plan import DOOR, Fault
from proof.torture.scenario import OWN_CHAT, Scenario
from proof.torture.speakers import Requester, Speaker
from proof.torture.witnesses import ask_page

LONG_ENOUGH = 1.0  # a fault of more seconds than that comes with a process that stands still
PATIENCE = 15.0
ENOUGH_ACKED = 20


async def kick(stage: Scenario, fault: Fault) -> tuple[Sequence[int], float]:
    chat, guest = stage.chats[DOOR], stage.ground.client("guest")
    if not stage.is_guest_in:
        await stage.let_guest(into=True)
    speaker = stage.speaker("guest", f"guest {stage.journal.lines}")
    speaker.give(stage.own(DOOR, 60, "removed"))
    leafing = [leaf(stage, guest, process, chat) for process in range(2)]
    async with running(speaker.run(), *leafing) as (_, *leaving):
        with suppress(TimeoutError):
            async with asyncio.timeout(fault.seconds):
                await speaker.settled.wait()
        async with standing_still(stage, fault):
            await stage.let_guest(into=False, process=fault.process)
            since = time.monotonic()
            speaker.give(stage.own(DOOR, 10, "removed"))
        await asyncio.gather(*leaving)
        for process in range(2):
            await ask_page(guest, stage.journal, stage.doors, process, chat, first=1, limit=1000, reader="")
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await speaker.settled.wait()
    return (0, 1), since


async def leaf(stage: Scenario, guest: Client, process: int, chat: int) -> None:
    """The whole chat again and again, until the door is shut."""
    until = time.monotonic() + PATIENCE
    while stage.is_guest_in and time.monotonic() < until:
        await ask_page(guest, stage.journal, stage.doors, process, chat, first=1, limit=1000, reader="")
        await asyncio.sleep(0.02)


async def log_out(stage: Scenario, fault: Fault) -> tuple[Sequence[int], float]:
    actor = None
    while actor is None:
        with suppress(*AWAY, AssertionError):
            actor = await sign_in(stage.ground.processes[fault.process], stage.ground.people["leaver"].name)
    client = Client(stage.ground.http, actor)
    speakers = [
        Speaker(actor, stage.journal, [door], stage.plan.random(f"leaver {stage.journal.lines}"))
        for door in stage.doors
    ]
    async with running(*(one.run() for one in speakers)) as tasks:
        for one in speakers:
            one.give(stage.own(OWN_CHAT, 150, "ended"))
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not all(one.acked >= ENOUGH_ACKED for one in speakers):
                    await asyncio.sleep(0.005)
        async with standing_still(stage, fault):
            await say_goodbye(stage, client, fault.process, speakers[0].session)
            ended = time.monotonic()
            for one in speakers:
                one.give(stage.own(OWN_CHAT, 20, "ended"))
        await knock(stage, client, speakers[0].session)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*tasks)
    return (0, 1), ended


async def say_goodbye(stage: Scenario, client: Client, process: int, session: int) -> None:
    """Until somebody has answered that it is over."""
    since = stage.journal.lines
    while True:
        with suppress(*AWAY):
            answer = await client.asks(stage.doors[process], "POST", "/v1/auth/logout", seconds=5)
            if answer.status in {200, 401}:  # 401: an earlier try has done it
                stage.journal.write(Ended(stage.journal.now, since, session))
                return
        await asyncio.sleep(0.1)


async def knock(stage: Scenario, client: Client, session: int) -> None:
    """Nobody opens, at either process."""
    for process in range(2):
        await stage.ask(client, process, "GET", "/v1/chats", None, what="look", session=session)
        for saying in stage.own(OWN_CHAT, 2, "ended"):
            asker = Requester(client, stage.journal, stage.doors, stage.choice, session=session)
            await asker.say(saying, process)


@asynccontextmanager
async def standing_still(stage: Scenario, fault: Fault) -> AsyncIterator[None]:
    still = stage.ground.processes[1 - fault.process].workers() if fault.seconds > LONG_ENOUGH else []
    for one in still:
        with suppress(psutil.NoSuchProcess):
            one.suspend()
    try:
        yield
    finally:
        for one in still:
            with suppress(psutil.NoSuchProcess):
                one.resume()
