"""A run in one table and one picture: who sends how much, what that costs, and what it keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from proof.bench.report.pictures import Bar, picture
from proof.bench.report.results import Results
from proof.bench.report.tables import number, table

TITLE = "Durable messages a second"
TWO, MANY = "S1 2 senders", "S1 32 senders"
ONE_ROW, MANY_ROWS = "S1 1 row a commit, 1 client: pgbench", "S1 1 row a commit, 32 clients: pgbench"
HEAD = (
    "", "2 people: acked/s", "p50 ms", "32 people: acked/s", "CPU µs a send",
    "group of 100: delivered/s", "of 1000", "KiB an idle socket", "keeps besides",
)  # fmt: skip


@dataclass(frozen=True)
class Who:
    name: str
    by: str  # in the keys of a run
    keeps: str
    colour: str


MEMBERS = "tokens, membership, keys"
WHO = (
    Who("messenger", "product", f"{MEMBERS}, order, resume, sessions, limits, receipts, search", "#2f6fdd"),
    Who("socket.io + pg", "socket.io", MEMBERS, "#cf4a4a"),
    Who("FastAPI + asyncpg", "FastAPI", MEMBERS, "#2f9e5a"),
    Who("probe, 200 lines", "probe", MEMBERS, "#6b4fd8"),
)
ROWS = Who("pgbench, 1 and 32 clients", "pgbench", "rows only", "#c2762b")


def rates(results: Results) -> list[tuple[str, Who, list[float]]]:
    """Acknowledged a second, round by round, by how many send."""
    found = []
    for says, key, rows in (("2 people send", TWO, ONE_ROW), ("32 people send", MANY, MANY_ROWS)):
        found += [(says, who, results.all(f"{key}: {who.by}", "acked_per_s")) for who in WHO]
        found.append((says, ROWS, results.all(rows, "rows_per_s")))
    return found


def drawn(results: Results) -> str:
    """The picture as SVG."""
    bars = [
        Bar(says, who.name, median(values), min(values), max(values), who.colour)
        for says, who, values in rates(results)
        if values
    ]
    return picture(TITLE, "acknowledged; server and PostgreSQL on one core", bars)


def everything(results: Results) -> str:
    return table(HEAD, [row for who in (*WHO, ROWS) if (row := line(results, who))])


def line(results: Results, who: Who) -> Sequence[str]:
    """Nothing for who was not asked for; who could not be measured says why."""
    found = rows_line(results) if who is ROWS else figures(results, who.by)
    if any(value is not None for value in found):
        return [who.name, *map(number, found), who.keeps]
    notes = [one["note"] for key in results.rounds if key.endswith(f": {who.by}") for one in results.rounds[key]
             if "note" in one]  # fmt: skip
    return [who.name, *map(number, found), f"not measured: {notes[0]}"] if notes else []


def figures(results: Results, by: str) -> list[float | None]:
    two, many = f"{TWO}: {by}", f"{MANY}: {by}"
    return [
        results.median(two, "acked_per_s"),
        results.median(two, "p50_ms"),
        results.median(many, "acked_per_s"),
        cost(results, many),
        *(results.median(f"S2 group of {size}, saturated: {by}", "delivered_per_s") for size in (100, 1000)),
        results.median(f"S4 idle sockets: {by}", "kib_a_socket"),
    ]


def cost(results: Results, key: str) -> float | None:
    parts = [results.median(key, "cpu_s_per_1000", name) for name in ("server", "postgres")]
    known = [one for one in parts if one is not None]
    return 1e3 * sum(known) if len(known) == len(parts) else None


def rows_line(results: Results) -> list[float | None]:
    return [
        results.median(ONE_ROW, "rows_per_s"),
        results.median(ONE_ROW, "p50_ms"),
        results.median(MANY_ROWS, "rows_per_s"),
        results.median(MANY_ROWS, "postgres_us_a_row"),
        None, None, None,
    ]  # fmt: skip
