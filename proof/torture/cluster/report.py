"""What was found, as a page of text and as JSON."""

from pathlib import Path

import msgspec

from proof.torture.cluster.faults import SILENCE_GOALS
from proof.torture.cluster.judgement import Summary
from proof.torture.report import verdict_lines


def write(folder: Path, one: Summary) -> None:
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(one), indent=1))
    (folder / "report.txt").write_text(text(one) + "\n", encoding="utf-8")


def text(one: Summary) -> str:
    lines = [f"three machines, {one.mode}, seed {one.seed}: {verdict(one)}", ""]
    lines += [f"  {name:<34} {value}" for name, value in figures(one)]
    columns = ("at s", "acked", "silence", "longest", "503", "late", "took")
    lines += ["", f"  {'fault':<18} " + " ".join(f"{name:>8}" for name in columns)]
    for each in one.faults:
        cells = (each.at, each.acked, each.silence, each.longest_wait, each.unavailable, each.late, each.took)
        lines.append(f"  {each.kind:<18} " + " ".join(f"{cell:>8}" for cell in cells))
    lines += ["", *verdict_lines(one.verdicts, 10)]
    if one.broken_off:
        lines += ["", f"  broken off: {one.broken_off}"]
    return "\n".join(lines)


def verdict(one: Summary) -> str:
    if not one.holds:
        return "BROKEN"
    over = [
        f"{each.kind} {each.silence:g} s (goal {SILENCE_GOALS[each.kind]:g})"
        for each in one.faults
        if each.is_over_goal
    ]
    return "all holds" + (f", over the goal: {', '.join(over)}" if over else "")


def figures(one: Summary) -> list[tuple[str, str]]:
    return [
        ("seconds, sends a second", f"{one.seconds:g}, {one.rate}"),
        ("messages sent / acknowledged / lost", f"{one.sent:,} / {one.acked:,} / {one.lost:,}"),
        ("tries / held back", f"{one.tries:,} / {one.held_back:,}"),
        ("events heard / told to load anew", f"{one.heard:,} / {one.resynced}"),
        ("promotions / epochs", f"{one.promotions} / {one.epochs}"),
        ("questions for readiness", f"{one.probes:,}"),
        ("ends of listeners' connections", ", ".join(f"{why} {many}" for why, many in one.ends.items()) or "none"),
    ]
