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


async def play(scenario: Scenario, act: Act) -> None:
    before = scenario.acked
    sayings = [[Saying(draft, scenario.chats[draft.chat]) for draft in drafts] for drafts in act.drafts]
    for speaker, some in zip(scenario.speakers, sayings, strict=False):
        speaker.give(some)
    aside = [asyncio.create_task(scenario.act_beside(act))]
    for requester, some in zip(scenario.requesters, sayings[len(scenario.speakers) :], strict=True):
        aside.append(asyncio.create_task(requester.say_all(some)))
    wanted = before + act.fault.after * sum(not draft.flaw for drafts in act.drafts for draft in drafts)
    try:
        async with asyncio.timeout(LIMIT):
            while scenario.acked < wanted:
                await asyncio.sleep(LOOK)
        scenario.move_marks(act)
        await strike(scenario, act)
        async with asyncio.timeout(LIMIT):
            await asyncio.gather(*aside)
            await scenario.settle()
        if act.wakes:
            await scenario.wake_sleeper()
    except TimeoutError:
        said = f"{scenario.acked - before} acknowledged, {scenario.in_flight} under way"
        raise NotQuiet(f"act {act.number} ({act.fault.kind}) did not end: {said}") from None
    finally:
        for task in aside:
            task.cancel()
        await asyncio.gather(*aside, return_exceptions=True)


async def strike(scenario: Scenario, act: Act) -> None:
    fault, journal, in_flight = act.fault, scenario.journal, scenario.in_flight
    journal.write(Struck(journal.now, act.number, fault.kind, fault.process))
    try:
        hit, since = await FAULTS[fault.kind](scenario, fault)
        seconds = await scenario.recovery(hit, since)
    except AssertionError as error:
        raise NotQuiet(f"act {act.number} ({fault.kind}): {error}") from None
    journal.write(Recovered(journal.now, act.number, fault.kind, seconds, in_flight))
