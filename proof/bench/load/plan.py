"""Which parts a run has, scenario by scenario. Each is measured once a round, beside its baselines."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from proof.bench.baselines import floor, inserts
from proof.bench.load import journal
from proof.bench.load.server import BOTH, PATIENCE, READERS, SERVER_CORES, TOOL_CORES, family
from proof.bench.load.servers import Servers
from proof.bench.load.sockets import PER_SECOND

GROUPS = {100: 20.0, 1000: 10.0}  # members, and messages a second when paced
SOAKED = 100
SPEAKERS = 4
HOT, COLD = 2_000, 200_000  # messages in the chat that is read
PAGE = 50
IDLE = 2_000
WATCHED = 10.0  # seconds that many idle sockets are looked at
Figures = dict[str, Any]
Paces = dict[str, float | None]  # messages a second, by the name of the phase; None: as fast as they are acknowledged


SATURATED: Paces = {"saturated": None}


@dataclass(frozen=True)
class Part:
    """`of` names the figure, `by` who made it: the product, a baseline, a peer."""

    scenario: str
    of: str
    by: str
    run: Callable[[Servers], Awaitable[Figures]]
    phases: tuple[str, ...] = ()  # when one run brings several figures, by these names

    def key(self, phase: str = "") -> str:
        return f"{self.scenario} {self.of}{f', {phase}' if phase else ''}: {self.by}"


async def sends(name: str, number: int, servers: Servers) -> Figures:
    """On two cores nobody has one alone, the load neither."""
    server = await servers.warm(name)
    cores = BOTH if server.cores == BOTH else TOOL_CORES
    return await servers.measure("sends", server, cores, pairs=await server.pairs(servers.sized(number)))


async def group(name: str, size: int, paces: Paces, servers: Servers) -> Figures:
    server = await servers.warm(name)
    chat_id, tokens = await server.group(servers.sized(size))
    spec: Figures = {"chat_id": chat_id, "tokens": tokens, "speakers": min(SPEAKERS, len(tokens) - 1), "phases": paces}
    found = await servers.measure("groups", server, **spec)
    for phase in paces:
        found[phase]["void"] += found["void"]
    return found


async def idle(name: str, sockets: int, watched: float, servers: Servers) -> Figures:
    sockets = servers.sized(sockets)
    async with servers.fresh(name) as process:
        dialect, tokens = "bare", [""] * sockets
        if name != "bare":
            server = await servers.named(name)
            dialect, tokens = server.dialect, [one.token for one in server.people[:sockets]]
        spec: Figures = {"dialect": dialect, "tokens": tokens, "first": 50, "watched": watched}
        return await servers.load(
            "idle", process, family(process), patience=2 * PATIENCE + sockets / PER_SECOND, **spec
        )


async def crowd(servers: Servers, wanted: int, sockets: int) -> Figures:
    """Many idle sockets, of the product and of bare aiohttp: what they hold, and what it takes to keep them."""
    return {"wanted": wanted, "of": {by: await idle(name, sockets, WATCHED, servers) for name, by in IDLERS}}


async def pages(which: str, servers: Servers) -> Figures:
    """*hot*: the last page of a chat, again and again. *cold*: each page begins at another number of a long chat, so
    that no page kept in memory helps; the rows themselves fit into PostgreSQL's buffers.
    """
    lengths = [max(2 * PAGE, servers.sized(HOT)), max(4 * PAGE, servers.sized(COLD))]
    hot, cold = await (await servers.product()).histories(lengths)
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


async def rows(clients: int, servers: Servers) -> Figures:
    """PostgreSQL on the server's core, pgbench on the other."""
    server = await servers.named("product")
    return await inserts.measure(server.cluster, server.families(), clients, servers.seconds, TOOL_CORES)


async def send_floor(connections: int, servers: Servers) -> Figures:
    return await floor.measure(servers.folder, connections, servers.seconds, *SERVER_CORES, *TOOL_CORES)


async def soak(servers: Servers, minutes: float) -> Figures:
    """Half load is what a look at both alone says now, a quarter of each; then minute by minute."""
    alone = await sends("product", 32, servers)
    said = (await group("product", SOAKED, SATURATED, servers))["saturated"]
    server = await servers.named("product")
    chat_id, tokens = await server.group(servers.sized(SOAKED))
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


IDLERS = (("product", "product"), ("bare", "aiohttp"))
FOREIGN = ("socket.io", "FastAPI")


def plan(*, peers: bool = False) -> list[Part]:
    """What is compared stands right behind the figure it is compared with: a shared machine is another one a minute
    later. The probe needs nothing that is not here; the other peers are asked for."""
    beside = FOREIGN if peers else ()
    return [*sends_plan(beside), *group_plan(beside), *idle_plan(beside), *page_plan()]


def sends_plan(beside: Sequence[str]) -> Iterator[Part]:
    servers = {
        2: ("product", *beside, "probe", "null"),
        32: ("product", *beside, "probe", "null", "without search", "one process", "two processes"),
        256: ("product", "one process", "two processes"),
    }
    for number, names in servers.items():
        for name in names:
            yield Part("S1", f"{number} senders", name, partial(sends, name, number))
        if number == 2:
            yield Part("S1", "1 row a commit, 1 client", "pgbench", partial(rows, 1))
        if number == 32:
            yield Part("S1", "1 row a commit, 32 clients", "pgbench", partial(rows, 32))


def group_plan(beside: Sequence[str]) -> Iterator[Part]:
    for size, pace in GROUPS.items():
        for name in ("product", *beside, "probe", "null"):
            paces = {**SATURATED, "paced": pace} if name == "product" else SATURATED
            if name != "null" or size == 100:
                yield Part("S2", f"group of {size}", name, partial(group, name, size, paces), phases=tuple(paces))
        yield Part("S2", f"{size} connections", "C send()", partial(send_floor, size))


def idle_plan(beside: Sequence[str]) -> Iterator[Part]:
    for name, by in (*IDLERS, *((name, name) for name in beside)):
        yield Part("S4", "idle sockets", by, partial(idle, name, IDLE, 0.0))


def page_plan() -> Iterator[Part]:
    yield Part("S5", "hot page", "product", partial(pages, "hot"))
    yield Part("S5", "cold page", "product", partial(pages, "cold"))
    yield Part("S5", "hello", "product", who_am_i)
    yield Part("S5", "hello", "aiohttp", bare_hello)
