"""What people at the chat page wait for, and what was promised about it."""

from collections.abc import Iterator
from statistics import median
from typing import Any

from proof.bench.report.tables import number, table, verdicts_of

# Milliseconds, of the worst one; what has none is told only.
GOALS = {
    "first visit: first contentful paint": 1000,
    "warm reload: first contentful paint": 1000,
    "direct chat: seen by the other": 1000,
    "direct chat: ✓✓ when the other reads": 1000,
    "edit: seen by the other": 1000,
    "reaction: seen by the other": 1000,
    "delete: seen by the other": 1000,
    "group: seen by the other": 1000,
    "kill -9: the banner": 2000,
}
TASK_MS, ROWS = 100, 300


def row(what: str, waits: list[float]) -> list[str]:
    worst, goal = max(waits), GOALS.get(what)
    verdict = "-" if goal is None else f"≤ {goal:,} {'holds' if worst <= goal else 'missed'}"
    return [what, number(median(waits)), number(worst), str(len(waits)), verdict]


def claims(walk: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    tasks = walk["tasks"]
    longest = max(tasks, default=0.0)
    said = f"the longest {number(longest)} ms, {len(tasks)} over 50" if tasks else "none over 50"
    yield f"no task over {TASK_MS} ms", said, longest <= TASK_MS
    yield f"at most {ROWS} rows on the page", str(walk["rows"]), walk["rows"] <= ROWS
    yield "the text stays where it is", f"moved by {number(walk['moved'])} px", walk["moved"] == 0


def everything(found: dict[str, Any]) -> str:
    rows = [row(what, waits) for what, waits in found["waits"].items()]
    return "\n\n".join(
        [
            f"Chromium {found['browser']}.",
            table(["the page", "median ms", "worst ms", "times", "goal"], rows),
            f"A walk through {found['walk']['messages']:,} messages, down and up:",
            verdicts_of(claims(found["walk"])),
        ]
    )
