"""Bars with the spread of the rounds as SVG written by hand, readable on light and dark pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from proof.bench.report.tables import number

WIDTH, LETTER, RIGHT, BAR, GAP, TOP = 760, 6.2, 110, 16, 14, 44


@dataclass(frozen=True)
class Bar:
    group: str
    label: str
    value: float
    low: float
    high: float
    colour: str


def picture(title: str, unit: str, bars: Sequence[Bar]) -> str:
    most = max((bar.high for bar in bars), default=0.0) or 1.0
    left = max(90, round(LETTER * max((len(bar.label) for bar in bars), default=0)) + 16)
    scale = (WIDTH - left - RIGHT) / most
    parts, y, group = [], TOP, ""
    for bar in bars:
        if bar.group != group:
            group = bar.group
            y += GAP
            parts.append(f'<text x="8" y="{y + BAR - 4}" class="group">{escape(group)}</text>')
            y += BAR
        middle = y + BAR / 2
        parts.append(f'<text x="{left - 8}" y="{y + BAR - 4}" class="label">{escape(bar.label)}</text>')
        width = max(1.0, bar.value * scale)
        parts.append(f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{BAR - 3}" rx="2" fill="{bar.colour}"/>')
        if bar.high > bar.low:
            low, high = left + bar.low * scale, left + bar.high * scale
            parts.append(f'<path d="M{low:.1f} {middle - 1.5}H{high:.1f}" class="spread"/>')
        end = left + max(bar.value, bar.high) * scale + 6
        parts.append(f'<text x="{end:.1f}" y="{y + BAR - 4}" class="value">{number(bar.value)}</text>')
        y += BAR
    height = y + 16
    style = (
        "text{font:12px system-ui,sans-serif;fill:#888}.title{font-size:15px;font-weight:600}.group{font-weight:600}"
        ".label{text-anchor:end}.spread{stroke:#888;stroke-width:3;opacity:.6}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-label="{escape(title)}"><style>{style}</style>'
        f'<text x="8" y="20" class="title">{escape(title)}</text><text x="8" y="38">{escape(unit)}</text>'
        f"{''.join(parts)}</svg>\n"
    )
