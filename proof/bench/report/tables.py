"""The tables of a run, as text."""

from collections.abc import Callable, Iterable, Sequence

from proof.bench.report.goals import judge
from proof.bench.report.results import Results

NOISE = 0.1


def number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """Median, and how far the rounds lie apart."""
    if not values:
        return "-"
    ordered = sorted(values)
    middle = number(ordered[len(ordered) // 2] if len(ordered) % 2 else sum(ordered[len(ordered) // 2 - 1 :][:2]) / 2)
    return middle if len(values) == 1 else f"{middle} ({number(ordered[0])}..{number(ordered[-1])})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Readable as text, and as a table where Markdown is shown."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(head), rule, *(line(row) for row in rows)])


def verdicts_of(claims: Iterable[tuple[str, str, bool]]) -> str:
    return "\n".join(f"- {claim}: {said}; {'holds' if holds else 'missed'}" for claim, said, holds in claims)


Cell = Callable[[Results, str], str]  # of a figure by its key


def in_rounds(*path: str) -> Cell:
    return lambda results, key: spread(results.all(key, *path))


def median(*path: str) -> Cell:
    return lambda results, key: number(results.median(key, *path))


LATENCIES = {"p50 ms": median("p50_ms"), "p99 ms": median("p99_ms")}
# By scenario: the figure without which there is no row, and the columns.
SCENARIOS: dict[str, tuple[str, dict[str, Cell]]] = {
    "S1": (
        "acked_per_s",
        {
            "acked/s": in_rounds("acked_per_s"),
            **LATENCIES,
            "server CPU-s/1000": median("cpu_s_per_1000", "server"),
            "pg CPU-s/1000": median("cpu_s_per_1000", "postgres"),
        },
    ),
    "S2": (
        "delivered_per_s",
        {
            "delivered/s": in_rounds("delivered_per_s"),
            **LATENCIES,
            "server us/delivery": median("cpu_us_per_delivery", "server"),
            "pg us/delivery": median("cpu_us_per_delivery", "postgres"),
        },
    ),
    "S4": (
        "",
        {
            "KiB a socket": in_rounds("kib_a_socket"),
            "server ms an opening": median("cpu_ms_an_opening", "server"),
            "openings/s": median("openings_per_s"),
        },
    ),
    "S5": (
        "",
        {
            "pages/s": in_rounds("pages_per_s"),
            **LATENCIES,
            "server ms/page": median("cpu_ms_a_page", "server"),
            "pg ms/page": median("cpu_ms_a_page", "postgres"),
        },
    ),
}


def figures(results: Results, name: str, keys: Iterable[str], columns: dict[str, Cell]) -> str:
    rows = []
    for key in keys:
        of, by = key.removeprefix(f"{name} ").split(": ")
        by += " (tool-bound)" if results.is_tool_bound(key) else ""
        rows.append([of, by, *(cell(results, key) for cell in columns.values())])
    return table([name, "by", *columns], rows)


def scenario(results: Results, name: str) -> str:
    wanted, columns = SCENARIOS[name]
    keys = [key for key in results.rounds if key.startswith(f"{name} ")]
    return figures(results, name, [key for key in keys if not wanted or results.all(key, wanted)], columns)


def first_of(*names: str) -> Cell:
    """The first of these figures that was measured."""
    return lambda results, key: spread(next((some for name in names if (some := results.all(key, name))), []))


def baselines(results: Results) -> str:
    """What has no users: rows, sends of the kernel."""
    rate = first_of("rows_per_s", "sends_per_s")
    cost = first_of("postgres_us_a_row", "us_a_send")
    columns = {"per second": rate, "p50 ms": median("p50_ms"), "CPU us each": cost}
    return figures(results, "baseline", [key for key in results.rounds if rate(results, key) != "-"], columns)


def verdicts(results: Results) -> str:
    rows = []
    for one in judge(results):
        goal = one.goal
        sign = "≥" if goal.is_floor else "≤"
        stretch = f"{sign} {goal.stretch}" + (" holds" if one.verdict(goal.stretch) == "holds" else "")
        steps = [f"{sign} {goal.bound} {one.verdict(goal.bound)}", stretch]
        rows.append([goal.says, spread(one.values), spread(one.by_cpu), *steps])
    return table(["measured", "ratio", "by CPU", "goal", "stretch"], rows)


def everything(results: Results) -> str:
    names = [name for name in SCENARIOS if any(key.startswith(f"{name} ") for key in results.rounds)]
    parts = [verdicts(results), *(scenario(results, name) for name in names), baselines(results)]
    return "\n\n".join(parts)


def remarks(results: Results) -> list[str]:
    """What a reader must know before believing a figure."""
    parts = []
    if results.others() > NOISE:
        parts.append(
            f"NOISY: somebody else used {results.others():.0%} of the machine. Rates and latencies are those of a"
            " disturbed machine; the CPU of an operation, and the ratios by CPU, suffer less."
        )
    parts += [f"NOT MEASURED: {note}" for note in results.notes()]
    if results.voids():
        parts.append("VOID:\n" + "\n".join(results.voids()))
    return parts
