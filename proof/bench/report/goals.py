"""The goals as ratios: each figure over its baseline of the same round, so of the same minutes; then their median."""

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
    """`by_cpu`: the same ratio by the CPU of both, which a busy machine changes little. The rate has the verdict."""

    says: str
    is_floor: bool  # at least, or at most
    now: float | None
    later: float | None
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

    def verdict(self, bound: float | None) -> str:
        if bound is None:
            return "-"
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


def goals() -> Iterator[Goal]:
    yield from sends_goals()
    yield from group_goals()
    sockets = [figure(f"S4 idle sockets: {by}", "kib_a_socket") for by in ("product", "aiohttp")]
    yield Goal("S4 memory of an idle socket, of bare aiohttp", False, 1.5, 1.2, ratio(*sockets))
    yield from page_goals()


def sends_goals() -> Iterator[Goal]:
    for number in (32, 256):
        product, null = f"S1 {number} senders: product", f"S1 {number} senders: null"
        mine, cpu = figure(product, "acked_per_s"), both(product, "cpu_s_per_1000")
        by_cpu = ratio(both(null, "cpu_s_per_1000"), cpu)
        yield Goal(
            f"S1 acked/s at {number}, of null", True, 0.35, None, ratio(mine, figure(null, "acked_per_s")), by_cpu
        )
        for cores, later in (("one core", None), ("two cores", 1.0)):
            pgbench = f"S1 1 row a commit, 32 clients: pgbench, {cores}"
            says = f"S1 acked/s at {number}, of pgbench -c32 ({cores})"
            # With one core each, the one PostgreSQL is on; with two pgbench itself has a share in them.
            rows = ratio(figure(pgbench, "postgres_us_a_row"), times(1e3, cpu)) if cores == "one core" else None
            yield Goal(says, True, 0.8, later, ratio(mine, figure(pgbench, "rows_per_s")), rows)
        two = figure(f"S1 {number} senders: two processes", "acked_per_s")
        yield Goal(f"S1 acked/s at {number}, two on two cores, of one on one", True, 1.0, 1.6, ratio(two, mine))
    lone = total(
        figure("S1 2 senders: null", "p50_ms"), figure("S1 1 row a commit, 1 client: pgbench, one core", "p50_ms")
    )
    p50 = figure("S1 2 senders: product", "p50_ms")
    yield Goal("S1 p50 of 2 clients, of null + one commit", False, 3.0, 2.0, ratio(p50, lone))
    says = "S3 CPU-s per 1000 sends, 32 senders"
    yield Goal(says, False, 0.08, 0.05, both("S1 32 senders: product", "cpu_s_per_1000"))
    yield Goal(f"{says}, without search", False, 0.08, None, both("S1 32 senders: without search", "cpu_s_per_1000"))


def group_goals() -> Iterator[Goal]:
    for size, now, later in ((100, 1.0, 0.85), (1000, 0.7, 0.6)):
        mine = both(f"S2 group of {size}, saturated: product", "cpu_us_per_delivery")
        floor = figure(f"S2 {size} connections: C send()", "us_a_send")
        yield Goal(f"S2 CPU a delivery at {size}, of a C send()", False, now, later, ratio(mine, floor))
    paced, null = (figure(f"S2 group of 1000, paced: {by}", "p50_ms") for by in ("product", "null"))
    yield Goal("S2 p50 at 1000 paced, of null", False, None, 1.3, ratio(paced, null))


def page_goals() -> Iterator[Goal]:
    hello, its_cpu = figure("S5 hello: aiohttp", "pages_per_s"), figure("S5 hello: aiohttp", "cpu_ms_a_page", "server")

    def of_hello(key: str) -> tuple[Value, Value]:
        return ratio(figure(key, "pages_per_s"), hello), ratio(its_cpu, both(key, "cpu_ms_a_page"))

    yield Goal("S5 hot pages/s, of aiohttp's hello", True, 0.5, 0.65, *of_hello("S5 hot page: product"))
    cold = figure("S5 cold page: product", "pages_per_s")
    cpu = both("S5 cold page: product", "cpu_ms_a_page")
    by_cpu = ratio(lambda one: 1e3 / COLD_PAGES, cpu)
    yield Goal(f"S5 cold pages/s, of {COLD_PAGES}", True, 0.4, 0.55, ratio(cold, lambda one: float(COLD_PAGES)), by_cpu)
    yield Goal("S5 GET /v1/users/me, of aiohttp's hello", True, None, 0.8, *of_hello("S5 hello: product"))


def judge(results: Results) -> list[Judged]:
    rounds = max((len(some) for some in results.rounds.values()), default=0)
    found = []
    for goal in goals():
        values = [[way(Round(results, number)) for number in range(rounds)] for way in (goal.value, goal.by_cpu) if way]
        known = [[value for value in some if value is not None] for some in values]
        found.append(Judged(goal, known[0], known[1] if goal.by_cpu else []))
    return found
