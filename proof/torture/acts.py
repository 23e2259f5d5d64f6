"""One act: everybody speaks, something breaks in the middle of it, and nobody leaves before all is known."""

import asyncio

from proof.torture.faults import FAULTS
from proof.torture.journal import Recovered, Struck
from proof.torture.plan import Act
from proof.torture.scenario import Scenario
from proof.torture.speakers import Saying

LIMIT = 60.0  # for an act to begin, and to be over once its fault is
LOOK = 0.005


class NotQuiet(Exception):
    """The system did not come back: the run is broken whatever its journal says."""


async def play(stage: Scenario, act: Act) -> None:
    before = stage.acked
    sayings = [[Saying(draft, stage.chats[draft.chat]) for draft in drafts] for drafts in act.drafts]
    for speaker, some in zip(stage.speakers, sayings, strict=False):
        speaker.give(some)
    aside = [asyncio.create_task(stage.do_asides(act))]
    for requester, some in zip(stage.requesters, sayings[len(stage.speakers) :], strict=True):
        aside.append(asyncio.create_task(requester.say_all(some)))
    wanted = before + act.fault.after * sum(not draft.flaw for drafts in act.drafts for draft in drafts)
    try:
        async with asyncio.timeout(LIMIT):
            while stage.acked < wanted:
                await asyncio.sleep(LOOK)
        stage.move_marks(act)
        await strike(stage, act)
        async with asyncio.timeout(LIMIT):
            await asyncio.gather(*aside)
            await stage.settle()
        if act.wakes:
            await stage.wake_sleeper()
    except TimeoutError:
        said = f"{stage.acked - before} acknowledged, {stage.in_flight} under way"
        raise NotQuiet(f"act {act.number} ({act.fault.kind}) did not end: {said}") from None
    finally:
        for task in aside:
            task.cancel()
        await asyncio.gather(*aside, return_exceptions=True)


async def strike(stage: Scenario, act: Act) -> None:
    fault, journal, in_flight = act.fault, stage.journal, stage.in_flight
    journal.write(Struck(journal.now, act.number, fault.kind, fault.process))
    try:
        hit, since = await FAULTS[fault.kind](stage, fault)
        seconds = await stage.recovery(hit, since)
    except AssertionError as error:
        raise NotQuiet(f"act {act.number} ({fault.kind}): {error}") from None
    journal.write(Recovered(journal.now, act.number, fault.kind, seconds, in_flight))
