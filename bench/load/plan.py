"""Which parts a run has, scenario by scenario. Every part is measured once a round, its limits in the same minutes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.load.stage import BOTH, TOOL_CORES, Stage

SENDERS = (2, 32, 256)


@dataclass(frozen=True)
class Part:
    """`of` names the figure, `by` who made it: the product, or one of its limits."""

    scenario: str
    of: str
    by: str
    run: Callable[[Stage], Awaitable[dict[str, Any]]]

    @property
    def key(self) -> str:
        return f"{self.scenario} {self.of}: {self.by}"


async def sends(name: str, number: int, stage: Stage) -> dict[str, Any]:
    server = await stage.server(name)
    cores = BOTH if name == "two processes" else TOOL_CORES
    return await stage.load("sends", server, cores, pairs=await server.pairs(stage.sized(number)))


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
    return parts
