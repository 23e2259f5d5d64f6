"""Which parts a run has, scenario by scenario. Every part is measured once a round, its limits in the same minutes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.load.stage import BOTH, TOOL_CORES, Stage

SENDERS = (2, 32, 256)
GROUPS = ((100, 20.0), (1000, 10.0))  # members, and messages a second when paced
SPEAKERS = 4


@dataclass(frozen=True)
class Part:
    """`of` names the figure, `by` who made it: the product, or one of its limits."""

    scenario: str
    of: str
    by: str
    run: Callable[[Stage], Awaitable[dict[str, Any]]]
    phases: tuple[str, ...] = ()  # when one run brings several figures, by these names

    def key(self, phase: str = "") -> str:
        return f"{self.scenario} {self.of}{f', {phase}' if phase else ''}: {self.by}"


async def sends(name: str, number: int, stage: Stage) -> dict[str, Any]:
    server = await stage.server(name)
    cores = BOTH if name == "two processes" else TOOL_CORES
    return await stage.load("sends", server, cores, pairs=await server.pairs(stage.sized(number)))


async def group(name: str, size: int, pace: float, stage: Stage) -> dict[str, Any]:
    server = await stage.server(name)
    size = stage.sized(size)
    tokens = [one.token for one in server.people[:size]]
    chat_id = await server.group(size)
    return await stage.load(
        "groups", server, chat_id=chat_id, tokens=tokens, speakers=min(SPEAKERS, size - 1), pace=pace
    )


def plan() -> list[Part]:
    parts = [
        Part("S1", f"{number} senders", name, partial(sends, name, number))
        for number in SENDERS
        for name in ("product", "null")
    ]
    parts += [
        Part("S1", f"{number} senders", "two processes", partial(sends, "two processes", number))
        for number in (32, 256)
    ]
    parts += [
        Part("S2", f"group of {size}", name, partial(group, name, size, pace), phases=("saturated", "paced"))
        for size, pace in GROUPS
        for name in ("product", "null")
    ]
    return parts
