"""The goals: each a figure over another one of the same round, so of the same minutes; then their median."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from proof.bench.report.results import Results

COLD_PAGES = 14_000  # pages a second that one core can bring from the database (hello + page + PostgreSQL's part)


@dataclass(frozen=True)
class Round:
    """One round's figures; what is void or was not measured is None, and so is what is made of it."""

    results: Results
    number: int

    def __call__(self, key: str, *path: str) -> float | None:
        return self.results.figure(key, self.number, *path)


Value = Callable[[Round], float | None]


@dataclass(frozen=True)
class Goal:
    """`by_cpu`: the same ratio by the CPU of both, which a busy machine changes little. `value` has the verdict."""

    says: str
    is_floor: bool  # at least, or at most
    bound: float
    stretch: float
    value: Value
    by_cpu: Value | None = None

    def met(self, value: float, bound: float) -> bool:
        return value >= bound if self.is_floor else value <= bound


@dataclass(frozen=True)
class Judged:
    goal: Goal
    values: list[float]
    by_cpu: list[float]

    @property
    def middle(self) -> float | None:
        return median(self.values) if self.values else None

    def verdict(self, bound: float) -> str:
        if self.middle is None:
            return "not measured"
        return "holds" if self.goal.met(self.middle, bound) else "missed"


def ratio(above: Value, below: Value) -> Value:
    def value(one: Round) -> float | None:
        high, low = above(one), below(one)
        return None if high is None or not low else high / low

    return value


def total(*values: Value) -> Value:
    def value(one: Round) -> float | None:
        found = [each(one) for each in values]
        known = [each for each in found if each is not None]
        return sum(known) if len(known) == len(found) else None

    return value


def times(number: float, value: Value) -> Value:
    return lambda one: None if (found := value(one)) is None else number * found


def figure(key: str, *path: str) -> Value:
    return lambda one: one(key, *path)


def both(key: str, name: str) -> Value:
    """Of the server and of PostgreSQL together."""
    return total(figure(key, name, "server"), figure(key, name, "postgres"))


def cost(senders: int, by: str) -> Value:
    """CPU of a send."""
    return both(f"S1 {senders} senders: {by}", "cpu_s_per_1000")


def goals() -> Iterator[Goal]:
    yield from sends_goals()
    yield from group_goals()
    sockets = [figure(f"S4 idle sockets: {by}", "kib_a_socket") for by in ("product", "aiohttp")]
    yield Goal("S4 memory of an idle socket, of bare aiohttp", False, 0.35, 0.3, ratio(*sockets))
    yield from page_goals()


def sends_goals() -> Iterator[Goal]:
    def rate(senders: int, by: str = "product") -> Value:
        return figure(f"S1 {senders} senders: {by}", "acked_per_s")

    cheaper = ratio(cost(2, "socket.io"), cost(2, "product"))
    yield Goal("S1 acked/s at 2, of socket.io", True, 1.3, 2, ratio(rate(2), rate(2, "socket.io")), cheaper)
    waits = [figure(f"S1 2 senders: {by}", "p50_ms") for by in ("product", "socket.io")]
    yield Goal("S1 p50 at 2, of socket.io", False, 1, 0.6, ratio(*waits))
    pgbench = "S1 1 row a commit, 32 clients: pgbench"
    # pgbench itself has the other core, as the load has.
    of_rows = ratio(figure(pgbench, "postgres_us_a_row"), times(1e3, cost(32, "product")))
    rows = figure(pgbench, "rows_per_s")
    yield Goal("S1 acked/s at 32, of rows/s of pgbench -c32", True, 0.9, 1.1, ratio(rate(32), rows), of_rows)
    of_probe = ratio(cost(32, "product"), cost(32, "probe"))
    yield Goal("S1 CPU a send at 32, of the probe", False, 1.5, 1.2, of_probe)
    of_socketio = ratio(cost(32, "socket.io"), cost(32, "product"))
    yield Goal("S1 CPU a send at 32, socket.io's of ours", True, 5, 8, of_socketio)
    for number, bound, stretch in ((32, 1.3, 1.6), (256, 1.6, 1.8)):
        faster = ratio(rate(number, "two processes"), rate(number, "one process"))
        cheaper = ratio(cost(number, "one process"), cost(number, "two processes"))
        says = f"S1 acked/s at {number}, two processes of one on the same two cores"
        yield Goal(says, True, bound, stretch, faster, cheaper)


def group_goals() -> Iterator[Goal]:
    for size, bound, stretch in ((100, 0.9, 0.6), (1000, 0.55, 0.45)):
        mine = both(f"S2 group of {size}, saturated: product", "cpu_us_per_delivery")
        floor = figure(f"S2 {size} connections: C send()", "us_a_send")
        yield Goal(f"S2 CPU a delivery at {size}, of a C send()", False, bound, stretch, ratio(mine, floor))


def page_goals() -> Iterator[Goal]:
    """By CPU: what readers get in a second depends on who else is at the machine."""
    hello = figure("S5 hello: aiohttp", "cpu_ms_a_page", "server")
    for says, key, bound in (("hot page", "hot page", 0.45), ("GET /v1/users/me", "hello", 0.5)):
        of_hello = ratio(hello, both(f"S5 {key}: product", "cpu_ms_a_page"))
        yield Goal(f"S5 {says}: CPU of aiohttp's hello", True, bound, 0.6, of_hello)
    key = "S5 cold page: product"
    pages = ratio(figure(key, "pages_per_s"), lambda one: float(COLD_PAGES))
    by_cpu = ratio(lambda one: 1e3 / COLD_PAGES, both(key, "cpu_ms_a_page"))
    yield Goal(f"S5 cold pages/s, of {COLD_PAGES:,}", True, 0.2, 0.3, pages, by_cpu)


def judge(results: Results) -> list[Judged]:
    rounds = max((len(some) for some in results.rounds.values()), default=0)
    found = []
    for goal in goals():
        values = [[way(Round(results, number)) for number in range(rounds)] for way in (goal.value, goal.by_cpu) if way]
        known = [[value for value in some if value is not None] for some in values]
        found.append(Judged(goal, known[0], known[1] if goal.by_cpu else []))
    return found
