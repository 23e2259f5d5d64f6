"""Which parts a run has, scenario by scenario. Every part is measured once a round, its limits in the same minutes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.load.stage import BOTH, READERS, TOOL_CORES, Stage

SENDERS = (2, 32, 256)
GROUPS = ((100, 20.0), (1000, 10.0))  # members, and messages a second when paced
SPEAKERS = 4
HOT, COLD = 2_000, 200_000  # messages in the chat that is read
PAGE = 50


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


async def pages(which: str, stage: Stage) -> dict[str, Any]:
    """*hot*: the last page of a chat, again and again. *cold*: each page begins at another number of a long chat, so
    that no page kept in memory helps; the rows themselves fit into PostgreSQL's buffers.
    """
    server = await stage.server("product")
    lengths = [max(2 * PAGE, stage.sized(HOT)), max(4 * PAGE, stage.sized(COLD))]
    hot, cold = await server.histories(lengths)
    tokens = [one.token for one in server.people[:READERS]]
    path = f"/v1/chats/{hot if which == 'hot' else cold}/messages?limit={PAGE}&from="
    where = {"path": f"{path}{lengths[0] - PAGE + 1}", "span": 0}
    if which == "cold":
        where = {"path": path + "{}", "span": lengths[1] - PAGE + 1}
    return await stage.load("pages", server, tokens=tokens, marked='"sender_id":"', most=PAGE, **where)


async def who_am_i(stage: Stage) -> dict[str, Any]:
    server = await stage.server("product")
    tokens = [one.token for one in server.people[:READERS]]
    return await stage.load("pages", server, tokens=tokens, path="/v1/users/me", span=0, marked="", most=1)


async def bare_hello(stage: Stage) -> dict[str, Any]:
    return await stage.load_bare("pages", tokens=[""] * READERS, path="/hello", span=0, marked="", most=1)


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
    parts += [
        Part("S5", "hot page", "product", partial(pages, "hot")),
        Part("S5", "cold page", "product", partial(pages, "cold")),
        Part("S5", "hello", "product", who_am_i),
        Part("S5", "hello", "aiohttp", bare_hello),
    ]
    return parts
