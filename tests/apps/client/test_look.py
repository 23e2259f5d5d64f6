"""Colours stand in one file, and people can read what is written in them."""

import re

import pytest

from messenger.apps.client.assets import STATIC
from tests import vendored

TOKENS = (STATIC / "style/tokens.css").read_text()
VENDORED = STATIC / "vendor"
COLOUR = re.compile(r"#[0-9a-f]{3,8}\b|\b(?:rgb|hsl|oklch|lab)a?\(", re.IGNORECASE)
# Text, and all that it stands on.
TEXTS = {
    "ink": ("ground", "chat-ground", "raised", "theirs", "mine", "hover", "chosen", "found", "mark"),
    "ink-soft": ("ground", "chat-ground", "raised", "theirs", "mine", "hover", "chosen"),
    "accent": ("ground", "raised", "theirs", "mine", "hover", "chosen"),
    "danger": ("ground", "raised", "hover", "danger-ground"),
    "on-accent": ("accent", "accent-hover"),
    "raised": (*(f"hue-{number}" for number in range(8)), "danger"),
    **{f"hue-{number}": ("theirs",) for number in range(8)},
}
MARKS = {"edge": ("ground", "raised"), "accent": ("chat-ground",)}


def tokens(theme: str) -> dict[str, str]:
    start = TOKENS.index(':root[data-theme="dark"]') if theme == "dark" else TOKENS.index(":root {")
    block = TOKENS[start : TOKENS.index("}", start)]
    return {"on-accent": "#ffffff", **dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))}


def luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("pairs", "least"), [(TEXTS, 4.5), (MARKS, 3.0)])
def test_everything_can_be_read(theme: str, pairs: dict[str, tuple[str, ...]], least: float) -> None:
    found = tokens(theme)

    faint = {
        f"{ink} on {ground}": round(contrast(found[ink], found[ground]), 2)
        for ink, grounds in pairs.items()
        for ground in grounds
        if contrast(found[ink], found[ground]) < least
    }
    assert faint == {}


def test_the_dark_theme_is_the_same_whether_chosen_or_the_systems() -> None:
    chosen = TOKENS[TOKENS.index(':root[data-theme="dark"] {') :]
    systems = TOKENS[TOKENS.index(':root[data-theme="auto"] {') :]
    both = [re.findall(r"--[\w-]+: [^;]+;", block[: block.index("}")]) for block in (chosen, systems)]

    assert both[0] == both[1]


def test_no_other_file_names_a_colour() -> None:
    for path in (*STATIC.rglob("*.css"), *STATIC.rglob("view/*.js")):
        if path.name != "tokens.css":
            assert COLOUR.findall(re.sub(r"#[a-z][\w-]*", "", path.read_text())) == [], path.name


def test_no_line_is_too_long_to_read() -> None:
    longest = {".js": 120, ".css": 160}  # a rule may stand on one line

    long = [
        f"{path.relative_to(STATIC)}:{number}"
        for path in STATIC.rglob("*.*")
        # A word in all its plural forms stands on one line.
        if path.suffix in longest and path.parent.name not in {"vendor", "words"}
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if len(line) > longest[path.suffix]
    ]
    assert long == []


def test_what_is_vendored_is_exactly_what_its_makers_published() -> None:
    assert vendored.found(VENDORED) == vendored.recorded(VENDORED)
