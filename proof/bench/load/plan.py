"""Which parts a run has, scenario by scenario. Each is measured once a round, beside its baselines."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from proof.bench.baselines import floor, inserts
from proof.bench.load import journal
from proof.bench.load.servers import BOTH, PATIENCE, READERS, SERVER_CORES, TOOL_CORES, Servers, family

SENDERS = (2, 32, 256)
GROUPS = ((100, 20.0), (1000, 10.0))  # members, and messages a second when paced
SPEAKERS = 4
HOT, COLD = 2_000, 200_000  # messages in the chat that is read
PAGE = 50
IDLE = 2_000
Figures = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """`of` names the figure, `by` who made it: the product, or one of its baselines."""

    scenario: str
    of: str
    by: str
    run: Callable[[Servers], Awaitable[Figures]]
    phases: tuple[str, ...] = ()  # when one run brings several figures, by these names

    def key(self, phase: str = "") -> str:
        return f"{self.scenario} {self.of}{f', {phase}' if phase else ''}: {self.by}"


async def sends(name: str, number: int, servers: Servers) -> Figures:
    server = await servers.named(name)
    cores = BOTH if name == "two processes" else TOOL_CORES
    pairs = await server.pairs(servers.sized(number))
    return await servers.load("sends", server.process, server.families(), cores, pairs=pairs)


async def group(name: str, size: int, pace: float, servers: Servers) -> Figures:
    server = await servers.named(name)
    chat_id, tokens = await server.group(servers.sized(size))
    spec: Figures = {"chat_id": chat_id, "tokens": tokens, "speakers": min(SPEAKERS, len(tokens) - 1), "pace": pace}
    return await servers.load("groups", server.process, server.families(), **spec)


async def idle(name: str, servers: Servers) -> Figures:
    async with servers.fresh(name) as process:
        spec: Figures = {"path": "/echo", "greets": False, "tokens": [""] * servers.sized(IDLE)}
        if name != "bare":
            people = (await servers.named(name)).people[: servers.sized(IDLE)]
            spec = {"path": "/v1/ws", "greets": True, "tokens": [one.token for one in people]}
        return await servers.load("idle", process, family(process), first=50, **spec)


async def pages(which: str, servers: Servers) -> Figures:
    """*hot*: the last page of a chat, again and again. *cold*: each page begins at another number of a long chat, so
    that no page kept in memory helps; the rows themselves fit into PostgreSQL's buffers.
    """
    lengths = [max(2 * PAGE, servers.sized(HOT)), max(4 * PAGE, servers.sized(COLD))]
    hot, cold = await (await servers.named("product")).histories(lengths)
    path = "/v1/chats/{}/messages?limit={}&from={}"
    if which == "hot":
        spec: Figures = {"path": path.format(hot, PAGE, lengths[0] - PAGE + 1), "span": 0}
    else:
        spec = {"path": path.format(cold, PAGE, "{}"), "span": lengths[1] - PAGE + 1}
    return await read(servers, marked='"sender_id":"', most=PAGE, **spec)


async def who_am_i(servers: Servers) -> Figures:
    return await read(servers, path="/v1/users/me", span=0, marked="", most=1)


async def read(servers: Servers, **spec: Any) -> Figures:
    server = await servers.named("product")
    tokens = [one.token for one in server.people[:READERS]]
    return await servers.load("pages", server.process, server.families(), tokens=tokens, **spec)


async def bare_hello(servers: Servers) -> Figures:
    bare = await servers.bare()
    spec: Figures = {"tokens": [""] * READERS, "path": "/hello", "span": 0, "marked": "", "most": 1}
    return await servers.load("pages", bare, family(bare), **spec)


async def echoes(callers: int, servers: Servers) -> Figures:
    bare = await servers.bare()
    return await servers.load("echo", bare, family(bare), callers=callers)


async def rows(clients: int, cores: int, servers: Servers) -> Figures:
    """One core: PostgreSQL on the server's, pgbench on the other. Two: both on both."""
    server = await servers.named("product" if cores == 1 else "two processes")
    client = TOOL_CORES if cores == 1 else BOTH
    return await inserts.measure(server.cluster, server.families(), clients, servers.seconds, client)


async def send_floor(connections: int, servers: Servers) -> Figures:
    try:
        floor.compiled(servers.folder)
    except floor.NoCompiler as reason:
        return {"note": str(reason)}
    return await floor.measure(servers.folder, connections, servers.seconds, *SERVER_CORES, *TOOL_CORES)


async def soak(servers: Servers, minutes: float) -> Figures:
    """Half load is what a look at both alone says now, a quarter of each; then minute by minute."""
    alone = await sends("product", 32, servers)
    said = (await group("product", GROUPS[0][0], GROUPS[0][1], servers))["saturated"]
    server = await servers.named("product")
    chat_id, tokens = await server.group(servers.sized(GROUPS[0][0]))
    steps = max(3, round(minutes))
    spec = {
        "pairs": await server.pairs(servers.sized(32)),
        "chat_id": chat_id,
        "tokens": tokens,
        "speakers": min(SPEAKERS, len(tokens) - 1),
        "sends_per_s": alone["acked_per_s"] / 4,
        "said_per_s": said["acked_per_s"] / 4,
        "minutes": steps,
        "seconds": minutes * 60 / steps,
        "journal": str(servers.folder / "journal"),
    }
    before = await journal.head(server.cluster)
    patience = minutes * 60 + PATIENCE
    found = await servers.load("soak", server.process, server.families(), patience=patience, **spec)
    return {**found, "journal": await journal.compare(server.cluster, servers.folder / "journal", before)}


def plan() -> list[Part]:
    """A baseline stands right behind its figure: a shared machine is another one a minute later."""
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
