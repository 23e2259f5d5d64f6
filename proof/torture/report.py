"""What was found: a page of text for the terminal, one of HTML that needs nothing else, and JSON for machines."""

from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

import msgspec

from proof.torture.clauses import Verdict
from proof.torture.summary import READY_GOAL, Spread, Summary


def write(folder: Path, summaries: list[Summary]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(summaries), indent=1))
    (folder / "report.html").write_text(page(summaries), encoding="utf-8")
    (folder / "report.txt").write_text("\n\n".join(map(text, summaries)) + "\n", encoding="utf-8")


def text(one: Summary) -> str:
    lines = [f"wire {one.wire}, seed {one.seed}: {verdict(one)}", ""]
    lines += [f"  {name:<34} {value}" for name, value in figures(one)]
    lines += ["", f"  {'ready again after':<22} {'least':>7} {'median':>7} {'most':>7} {'times':>6}"]
    for kind, spread in one.recovery.items():
        lines.append(f"  {kind:<22} {spread.least:>7.2f} {spread.middle:>7.2f} {spread.most:>7.2f} {spread.times:>6}")
    lines += ["", *verdict_lines(one.verdicts, 8)]
    if one.broken_off:
        lines += ["", f"  broken off: {one.broken_off}"]
    return "\n".join(lines)


def verdict_lines(verdicts: Iterable[Verdict], width: int) -> Iterator[str]:
    """`width`: of the clauses' names."""
    for judged in verdicts:
        yield f"  {judged.clause:<{width}} {'holds ' if judged.holds else 'BROKEN'} {judged.sentence}"
        for finding in judged.findings:
            yield f"  {'':{width}} - {finding}"
        if judged.broken > len(judged.findings):
            yield f"  {'':{width}} - and {judged.broken - len(judged.findings)} more"


def verdict(one: Summary) -> str:
    if not one.holds:
        return "BROKEN"
    return (
        "every clause holds" if not one.slow_kills else f"every clause holds, {', '.join(one.slow_kills)} over the goal"
    )


def figures(one: Summary) -> list[tuple[str, str]]:
    stale = "; ".join(f"{way} {each.middle:g} / {each.p99:g} / {each.most:g}" for way, each in one.staleness.items())
    return [
        ("seconds", f"{one.seconds:g}"),
        ("faults", f"{sum(one.faults.values())} of {len(one.faults)} kinds"),
        ("sends under way at a fault", spread_text(one.in_flight)),
        ("messages sent / acknowledged", f"{one.planned:,} / {one.acked:,}"),
        ("tries / without an answer", f"{one.tries:,} / {one.unknowns:,}"),
        ("repeats that were told so", f"{one.repeated:,}"),
        ("stored before told / said replayed", f"{one.ambiguous:,} / {one.ambiguous_replayed:,}"),
        ("refused, as they had to be", f"{one.refused:,}"),
        ("events heard / pages read / marks", f"{one.heard:,} / {one.pages:,} / {one.marks:,}"),
        ("cuts: " + ", ".join(one.cuts), ", ".join(map(str, one.cuts.values()))),
        ("named gaps: limited, resync", f"{one.limited}, {one.resynced}"),
        ("doorbells dropped", "all of them" if one.wire == "none" else f"{one.dropped_doorbells:,}"),
        ("sockets closed after a logout, s", spread_text(one.closed)),
        ("ms from ack to event, p50 / p99 / max", stale or "-"),
    ]


def spread_text(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.least:g} … {spread.middle:g} … {spread.most:g}"


def page(summaries: list[Summary]) -> str:
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Torture</title>
<style>{STYLE}</style>
<h1>Torture: {"every clause holds" if all(one.holds for one in summaries) else "BROKEN"}</h1>
<p><code>{escape(summaries[0].command)}</code><br>{escape(summaries[0].machine)}</p>
{"".join(map(section, summaries))}
</html>
"""


def section(one: Summary) -> str:
    rows = "".join(f"<tr><th>{escape(name)}<td>{escape(value)}" for name, value in figures(one))
    times = "".join(
        f"<tr><th>{escape(kind)}<td>{one.faults.get(kind, 0)}<td>{spread.least:.2f}<td>{spread.middle:.2f}"
        f"<td class={'slow' if spread.most > READY_GOAL else 'fine'}>{spread.most:.2f}"
        for kind, spread in one.recovery.items()
    )
    verdicts = "".join(
        f"<tr class={'holds' if judged.holds else 'broken'}><th>{judged.clause}"
        f"<td>{'holds' if judged.holds else f'broken {judged.broken} times'}<td>{escape(judged.sentence)}"
        + "".join(f"<br><small>{escape(finding)}</small>" for finding in judged.findings)
        for judged in one.verdicts
    )
    off = f"<p class=broken>Broken off: {escape(one.broken_off)}</p>" if one.broken_off else ""
    return f"""
<section><h2>Wire {one.wire}, seed {one.seed}: {escape(verdict(one))}</h2>{off}
{picture(one)}
<div class=columns><table><caption>Figures</caption>{rows}</table>
<table><caption>Seconds until everybody hit acknowledged again (goal after a kill: {READY_GOAL:g})</caption>
<tr><th>fault<th>times<th>least<th>median<th>most{times}</table></div>
<table><caption>Clauses</caption>{verdicts}</table></section>"""


def picture(one: Summary) -> str:
    """Acks of each second, and a line for each fault."""
    width, height, most = 1000, 140, max(one.timeline, default=1) or 1
    step = width / max(1, len(one.timeline))
    bars = "".join(
        f'<rect x="{second * step:.1f}" y="{height - count / most * height:.1f}" width="{max(step - 0.4, 0.4):.1f}" '
        f'height="{count / most * height:.1f}"/>'
        for second, count in enumerate(one.timeline)
    )
    marks = "".join(
        f'<path d="M{at * step:.1f} 0V{height}"><title>{at:g} s: {escape(kind)}</title></path>'
        for at, kind in one.struck
    )
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="acks of each second">{bars}{marks}</svg>'
        f"<figcaption>Acks of each second (most: {most:,}) and the moments of the faults</figcaption></figure>"
    )


STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222;
       background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; margin: 1rem 0 } caption { text-align: left; font-weight: 600; padding: .3rem 0 }
th { text-align: left; font-weight: 400 } td, th { padding: .15rem .8rem .15rem 0; vertical-align: top;
       border-bottom: 1px solid #e4e4e4; font-variant-numeric: tabular-nums }
.columns { display: flex; flex-wrap: wrap; gap: 3rem } .holds td:nth-child(2) { color: #176d2c }
.broken, .slow { color: #b00020 } small { color: #b00020 }
figure { margin: 1rem 0 } svg { width: 100%; background: #f6f6f4 } rect { fill: #7a9cc6 }
path { stroke: #b00020; stroke-width: .7 } figcaption { color: #666; font-size: .85rem }
"""
