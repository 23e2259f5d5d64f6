"""The tables of a run, as text."""

from collections.abc import Sequence

from proof.bench.report.goals import judge
from proof.bench.report.results import Results

NOISE = 0.1


def number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
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


def sends(results: Results) -> str:
    rows = []
    for key in results.rounds:
        if key.startswith("S1 ") and results.all(key, "acked_per_s"):
            of, by = key[3:].split(": ")
            rows.append(
                [
                    of,
                    by + (" (tool-bound)" if results.is_tool_bound(key) else ""),
                    spread(results.all(key, "acked_per_s")),
                    spread(results.all(key, "p50_ms")),
                    spread(results.all(key, "p99_ms")),
                    number(results.median(key, "worst_ms")),
                    number(results.median(key, "cpu_s_per_1000", "server")),
                    number(results.median(key, "cpu_s_per_1000", "postgres")),
                    number(results.median(key, "tool_share")),
                    number(results.median(key, "others_share")),
                ]
            )
    head = [
        "S1",
        "by",
        "acked/s",
        "p50 ms",
        "p99 ms",
        "worst ms",
        "server CPU-s/1000",
        "pg CPU-s/1000",
        "tool",
        "others",
    ]
    return table(head, rows)


def baselines(results: Results) -> str:
    """What has no users: rows, echoes, sends of the kernel."""
    rows = []
    for key in results.rounds:
        of, by = key.split(": ")
        rate = next((name for name in ("rows_per_s", "echoes_per_s", "sends_per_s") if results.all(key, name)), None)
        if rate is not None:
            cost = next((name for name in ("postgres_us_a_row", "us_a_send") if results.all(key, name)), "")
            rows.append(
                [
                    of,
                    by + (" (tool-bound)" if results.is_tool_bound(key) else ""),
                    spread(results.all(key, rate)),
                    spread(results.all(key, "p50_ms")),
                    spread(results.all(key, "p99_ms")),
                    spread(results.all(key, cost)),
                    number(results.median(key, "tool_share")),
                ]
            )
    return table(["baseline", "by", "per second", "p50 ms", "p99 ms", "CPU us each", "tool"], rows)


def groups(results: Results) -> str:
    rows = []
    for key in results.rounds:
        if key.startswith("S2 ") and results.all(key, "delivered_per_s"):
            of, by = key[3:].split(": ")
            rows.append(
                [
                    of,
                    by + (" (tool-bound)" if results.is_tool_bound(key) else ""),
                    spread(results.all(key, "delivered_per_s")),
                    spread(results.all(key, "p50_ms")),
                    spread(results.all(key, "p99_ms")),
                    number(results.median(key, "cpu_us_per_delivery", "server")),
                    number(results.median(key, "cpu_us_per_delivery", "postgres")),
                    number(results.median(key, "tool_share")),
                    number(results.median(key, "others_share")),
                ]
            )
    head = ["S2", "by", "delivered/s", "p50 ms", "p99 ms", "server us/delivery", "pg us/delivery", "tool", "others"]
    return table(head, rows)


def idle(results: Results) -> str:
    rows = []
    for key in results.rounds:
        if key.startswith("S4 "):
            of, by = key[3:].split(": ")
            rows.append(
                [
                    of,
                    by,
                    number(results.median(key, "sockets")),
                    spread(results.all(key, "kib_a_socket")),
                    number(results.median(key, "before_mib")),
                    number(results.median(key, "after_mib")),
                    spread(results.all(key, "cpu_ms_an_opening", "server")),
                    number(results.median(key, "openings_per_s")),
                ]
            )
    head = ["S4", "by", "sockets", "KiB a socket", "MiB before", "MiB after", "server ms an opening", "openings/s"]
    return table(head, rows)


def pages(results: Results) -> str:
    rows = []
    for key in results.rounds:
        if key.startswith("S5 "):
            of, by = key[3:].split(": ")
            rows.append(
                [
                    of,
                    by + (" (tool-bound)" if results.is_tool_bound(key) else ""),
                    spread(results.all(key, "pages_per_s")),
                    spread(results.all(key, "p50_ms")),
                    spread(results.all(key, "p99_ms")),
                    number(results.median(key, "cpu_ms_a_page", "server")),
                    number(results.median(key, "cpu_ms_a_page", "postgres")),
                    number(results.median(key, "bytes_a_page")),
                    number(results.median(key, "tool_share")),
                    number(results.median(key, "others_share")),
                ]
            )
    head = ["S5", "by", "pages/s", "p50 ms", "p99 ms", "server ms/page", "pg ms/page", "bytes", "tool", "others"]
    return table(head, rows)


def verdicts(results: Results) -> str:
    rows = []
    for one in judge(results):
        goal = one.goal
        sign = "≥" if goal.is_floor else "≤"
        rows.append(
            [
                goal.says,
                spread(one.values),
                spread(one.by_cpu),
                f"{sign} {goal.now}" if goal.now is not None else "-",
                one.verdict(goal.now),
                f"{sign} {goal.later}" if goal.later is not None else "-",
                one.verdict(goal.later),
            ]
        )
    return table(["goal", "ratio", "by CPU", "now", "", "next", ""], rows)


def everything(results: Results) -> str:
    parts = [sends(results), groups(results), idle(results), pages(results), baselines(results), verdicts(results)]
    if results.others() > NOISE:
        parts.append(
            f"NOISY: somebody else used {results.others():.0%} of the machine. Rates and latencies are those of a"
            " disturbed machine; the CPU of an operation, and the ratios by CPU, suffer less."
        )
    parts += [f"NOT MEASURED: {note}" for note in results.notes()]
    if results.voids():
        parts.append("VOID:\n" + "\n".join(results.voids()))
    return "\n\n".join(parts)
