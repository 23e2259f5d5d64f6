"""Pictures of a run, as SVG written by hand: bars with the spread of the rounds, readable on light and dark pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import median

from proof.bench.report.goals import judge
from proof.bench.report.results import Results
from proof.bench.report.tables import number

WIDTH, LETTER, RIGHT, BAR, GAP, TOP = 760, 6.2, 110, 16, 14, 44
COLOURS = {
    "product": "#2f6fdd",
    "null": "#9aa4b2",
    "two processes": "#6b4fd8",
    "without search": "#5aa7e8",
    "C send()": "#c2762b",
    "holds": "#2f9e5a",
    "missed": "#cf4a4a",
}
OTHER = "#c2762b"


@dataclass(frozen=True)
class Bar:
    group: str
    label: str
    value: float
    low: float
    high: float
    colour: str = ""


def picture(title: str, unit: str, bars: Sequence[Bar], *, mark: float | None = None) -> str:
    """`mark`: a line across all bars, such as the bound of a goal."""
    most = max([bar.high for bar in bars] + ([mark] if mark is not None else [])) or 1.0
    left = max(90, round(LETTER * max(len(bar.label) for bar in bars)) + 16)
    scale = (WIDTH - left - RIGHT) / most
    parts, y, group = [], TOP, ""
    for bar in bars:
        if bar.group != group:
            group = bar.group
            y += GAP
            parts.append(f'<text x="8" y="{y + BAR - 4}" class="group">{escape(group)}</text>')
            y += BAR
        colour = bar.colour or COLOURS.get(bar.label, OTHER)
        middle = y + BAR / 2
        parts.append(f'<text x="{left - 8}" y="{y + BAR - 4}" class="label">{escape(bar.label)}</text>')
        width = max(1.0, bar.value * scale)
        parts.append(f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{BAR - 3}" rx="2" fill="{colour}"/>')
        if bar.high > bar.low:
            low, high = left + bar.low * scale, left + bar.high * scale
            parts.append(f'<path d="M{low:.1f} {middle - 1.5}H{high:.1f}" class="spread"/>')
        end = left + max(bar.value, bar.high) * scale + 6
        parts.append(f'<text x="{end:.1f}" y="{y + BAR - 4}" class="value">{number(bar.value)}</text>')
        y += BAR
    if mark is not None:
        x = left + mark * scale
        parts.append(f'<path d="M{x:.1f} {TOP}V{y}" class="mark"/>')
    height = y + 16
    style = (
        "text{font:12px system-ui,sans-serif;fill:#888}.title{font-size:15px;font-weight:600}.group{font-weight:600}"
        ".label{text-anchor:end}.spread{stroke:#888;stroke-width:3;opacity:.6}"
        ".mark{stroke:#888;stroke-width:1.5;stroke-dasharray:4 3}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-label="{escape(title)}"><style>{style}</style>'
        f'<text x="8" y="20" class="title">{escape(title)}</text><text x="8" y="38">{escape(unit)}</text>'
        f"{''.join(parts)}</svg>\n"
    )


def bars(results: Results, scenario: str, wanted: Sequence[str]) -> list[Bar]:
    """Of all parts of a scenario that have this figure."""
    found = []
    for key in results.rounds:
        values = results.all(key, *wanted)
        if key.startswith(f"{scenario} ") and values:
            of, by = key.removeprefix(f"{scenario} ").split(": ")
            found.append(Bar(of, by, median(values), min(values), max(values)))
    return found


def cost_of_delivery(results: Results) -> list[Bar]:
    found = []
    for key in results.rounds:
        if key.startswith("S2 group") and "saturated" in key:
            pairs = zip(
                results.all(key, "cpu_us_per_delivery", "server"),
                results.all(key, "cpu_us_per_delivery", "postgres"),
                strict=True,
            )
            values = sorted(server + postgres for server, postgres in pairs)
            of, by = key.removeprefix("S2 ").split(": ")
            if values:
                found.append(Bar(of.split(",")[0], by, values[len(values) // 2], values[0], values[-1]))
    return found + bars(results, "S2", ["us_a_send"])


def reached(results: Results) -> list[Bar]:
    """Every goal on one scale: 1 is the goal, more is better."""
    found = []
    for one in judge(results):
        bound, middle = one.goal.now, one.middle
        if bound is not None and middle:
            values = sorted((value / bound if one.goal.is_floor else bound / value) for value in one.values if value)
            value = middle / bound if one.goal.is_floor else bound / middle
            low, high = (min(each, 3.0) for each in (values[0], values[-1]))
            found.append(Bar("", one.goal.says, min(value, 3.0), low, high, COLOURS[one.verdict(bound)]))
    return found


def draw(results: Results, folder: Path) -> list[Path]:
    wanted = {
        "s1-acked": (
            "S1: durable sends",
            "acknowledged a second; beside it rows of pgbench",
            bars(results, "S1", ["acked_per_s"]) + bars(results, "S1", ["rows_per_s"]),
            None,
        ),
        "s1-latency": ("S1: send to acknowledgement", "p50, milliseconds", bars(results, "S1", ["p50_ms"]), None),
        "s2-cpu": (
            "S2: CPU of one delivery",
            "microseconds, server and PostgreSQL; beside it the kernel's send()",
            cost_of_delivery(results),
            None,
        ),
        "s2-latency": ("S2: send to every member", "p50, milliseconds", bars(results, "S2", ["p50_ms"]), None),
        "s4-memory": ("S4: an idle socket", "KiB of the server's memory", bars(results, "S4", ["kib_a_socket"]), None),
        "s5-pages": ("S5: pages of 50 messages", "pages a second", bars(results, "S5", ["pages_per_s"]), None),
        "goals": ("Goals", "1 is the goal, more is better; cut off at 3", reached(results), 1.0),
    }
    drawn = []
    for name, (title, unit, some, mark) in wanted.items():
        if some:
            path = folder / f"{name}.svg"
            path.write_text(picture(title, unit, some, mark=mark))
            drawn.append(path)
    return drawn
