"""Which parts a run has, scenario by scenario. Every part is measured once a round, its limits in the same minutes."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from proof.bench.limits import floor, inserts
from proof.bench.load import journal
from proof.bench.load.stage import BOTH, PATIENCE, READERS, SERVER_CORES, TOOL_CORES, Stage, family

SENDERS = (2, 32, 256)
GROUPS = ((100, 20.0), (1000, 10.0))  # members, and messages a second when paced
SPEAKERS = 4
HOT, COLD = 2_000, 200_000  # messages in the chat that is read
PAGE = 50
IDLE = 2_000
Figures = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """`of` names the figure, `by` who made it: the product, or one of its limits."""

    scenario: str
    of: str
    by: str
    run: Callable[[Stage], Awaitable[Figures]]
    phases: tuple[str, ...] = ()  # when one run brings several figures, by these names

    def key(self, phase: str = "") -> str:
        return f"{self.scenario} {self.of}{f', {phase}' if phase else ''}: {self.by}"


async def sends(name: str, number: int, stage: Stage) -> Figures:
    server = await stage.server(name)
    cores = BOTH if name == "two processes" else TOOL_CORES
    pairs = await server.pairs(stage.sized(number))
    return await stage.load("sends", server.process, server.families(), cores, pairs=pairs)


async def group(name: str, size: int, pace: float, stage: Stage) -> Figures:
    server = await stage.server(name)
    chat_id, tokens = await server.group(stage.sized(size))
    spec: Figures = {"chat_id": chat_id, "tokens": tokens, "speakers": min(SPEAKERS, len(tokens) - 1), "pace": pace}
    return await stage.load("groups", server.process, server.families(), **spec)


async def idle(name: str, stage: Stage) -> Figures:
    async with stage.fresh(name) as process:
        spec: Figures = {"path": "/echo", "greets": False, "tokens": [""] * stage.sized(IDLE)}
        if name != "bare":
            people = (await stage.server(name)).people[: stage.sized(IDLE)]
            spec = {"path": "/v1/ws", "greets": True, "tokens": [one.token for one in people]}
        return await stage.load("idle", process, family(process), first=50, **spec)


async def pages(which: str, stage: Stage) -> Figures:
    """*hot*: the last page of a chat, again and again. *cold*: each page begins at another number of a long chat, so
    that no page kept in memory helps; the rows themselves fit into PostgreSQL's buffers.
    """
    lengths = [max(2 * PAGE, stage.sized(HOT)), max(4 * PAGE, stage.sized(COLD))]
    hot, cold = await (await stage.server("product")).histories(lengths)
    path = "/v1/chats/{}/messages?limit={}&from={}"
    if which == "hot":
        spec: Figures = {"path": path.format(hot, PAGE, lengths[0] - PAGE + 1), "span": 0}
    else:
        spec = {"path": path.format(cold, PAGE, "{}"), "span": lengths[1] - PAGE + 1}
    return await read(stage, marked='"sender_id":"', most=PAGE, **spec)


async def who_am_i(stage: Stage) -> Figures:
    return await read(stage, path="/v1/users/me", span=0, marked="", most=1)


async def read(stage: Stage, **spec: Any) -> Figures:
    server = await stage.server("product")
    tokens = [one.token for one in server.people[:READERS]]
    return await stage.load("pages", server.process, server.families(), tokens=tokens, **spec)


async def bare_hello(stage: Stage) -> Figures:
    bare = await stage.bare()
    spec: Figures = {"tokens": [""] * READERS, "path": "/hello", "span": 0, "marked": "", "most": 1}
    return await stage.load("pages", bare, family(bare), **spec)


async def echoes(callers: int, stage: Stage) -> Figures:
    bare = await stage.bare()
    return await stage.load("echo", bare, family(bare), callers=callers)


async def rows(clients: int, cores: int, stage: Stage) -> Figures:
    """One core: PostgreSQL on the server's, pgbench on the other. Two: both on both."""
    server = await stage.server("product" if cores == 1 else "two processes")
    client = TOOL_CORES if cores == 1 else BOTH
    return await inserts.measure(server.house, server.families(), clients, stage.seconds, client)


async def send_floor(connections: int, stage: Stage) -> Figures:
    try:
        floor.compiled(stage.folder)
    except floor.NoCompiler as reason:
        return {"note": str(reason)}
    return await floor.measure(stage.folder, connections, stage.seconds, *SERVER_CORES, *TOOL_CORES)


async def soak(stage: Stage, minutes: float) -> Figures:
    """Half load is what a look at both alone says now, a quarter of each; then minute by minute."""
    alone = await sends("product", 32, stage)
    said = (await group("product", GROUPS[0][0], GROUPS[0][1], stage))["saturated"]
    server = await stage.server("product")
    chat_id, tokens = await server.group(stage.sized(GROUPS[0][0]))
    steps = max(3, round(minutes))
    spec = {
        "pairs": await server.pairs(stage.sized(32)),
        "chat_id": chat_id,
        "tokens": tokens,
        "speakers": min(SPEAKERS, len(tokens) - 1),
        "sends_per_s": alone["acked_per_s"] / 4,
        "said_per_s": said["acked_per_s"] / 4,
        "minutes": steps,
        "seconds": minutes * 60 / steps,
        "journal": str(stage.folder / "journal"),
    }
    before = await journal.head(server.house)
    patience = minutes * 60 + PATIENCE
    found = await stage.load("soak", server.process, server.families(), patience=patience, **spec)
    return {**found, "journal": await journal.compare(server.house, stage.folder / "journal", before)}


def plan() -> list[Part]:
    """Limits stand right behind what they are the limits of: a shared machine is another one a minute later."""
    return [*sends_plan(), *group_plan(), *idle_plan(), *page_plan()]


def sends_plan() -> Iterator[Part]:
    for number in SENDERS:
        of = f"{number} senders"
        yield Part("S1", of, "product", partial(sends, "product", number))
        yield Part("S1", of, "null", partial(sends, "null", number))
        if number == 2:
            yield Part("S1", "1 row a commit, 1 client", "pgbench, one core", partial(rows, 1, 1))
        else:
            yield Part("S1", of, "without search", partial(sends, "without search", number))
            yield Part("S1", of, "two processes", partial(sends, "two processes", number))
        if number == 32:
            yield Part("S1", "1 row a commit, 32 clients", "pgbench, one core", partial(rows, 32, 1))
            yield Part("S1", "1 row a commit, 32 clients", "pgbench, two cores", partial(rows, 32, 2))
        if number <= 32:
            yield Part("S1", f"{number} callers", "aiohttp echo", partial(echoes, number))


def group_plan() -> Iterator[Part]:
    for size, pace in GROUPS:
        for name in ("product", "null"):
            run = partial(group, name, size, pace)
            yield Part("S2", f"group of {size}", name, run, phases=("saturated", "paced"))
        yield Part("S2", f"{size} connections", "C send()", partial(send_floor, size))


def idle_plan() -> Iterator[Part]:
    for name, by in (("product", "product"), ("bare", "aiohttp")):
        yield Part("S4", "idle sockets", by, partial(idle, name))


def page_plan() -> Iterator[Part]:
    yield Part("S5", "hot page", "product", partial(pages, "hot"))
    yield Part("S5", "cold page", "product", partial(pages, "cold"))
    yield Part("S5", "hello", "product", who_am_i)
    yield Part("S5", "hello", "aiohttp", bare_hello)
