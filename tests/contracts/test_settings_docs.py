"""Every setting is in the table of docs/settings.md and in deploy/.env.example, word for word, and nothing else is."""

import re
from collections.abc import Iterable
from pathlib import Path

from messenger.settings import PARSERS, Config, knobs, read

ROOT = Path(__file__).parents[2]
Row = tuple[str, ...]


def wanted() -> list[Row]:
    """Name, type, default, reason."""
    return [(knob.name, PARSERS[knob.kind][1], knob.shown(Config()), knob.why) for knob in knobs()]


def table(page: str) -> list[Row]:
    cells = (re.split(r"(?<!\\)\|", line)[1:-1] for line in page.splitlines() if line.startswith("| `"))
    return [tuple(cell.strip().strip("`") for cell in row) for row in cells]


def samples(text: str) -> list[Row]:
    """Name, default, reason of every setting of a file in the manner of .env, all of them commented out."""
    return [(name, default, why) for why, name, default in re.findall(r"^# (.+)\n#([A-Z_]+)=(.*)$", text, re.MULTILINE)]


def differences(settings: Iterable[Row], words: Iterable[Row]) -> list[str]:
    settings, words = list(settings), list(words)
    return [f"missing: {row}" for row in settings if row not in words] + [
        f"not a setting: {row}" for row in words if row not in settings
    ]


def test_the_page_of_settings_is_complete_and_true() -> None:
    assert differences(wanted(), table((ROOT / "docs/settings.md").read_text())) == []


def test_the_example_file_is_complete_and_true() -> None:
    expected = [(name, default, why) for name, _, default, why in wanted()]

    assert differences(expected, samples((ROOT / "deploy/.env.example").read_text())) == []


def test_the_example_file_as_it_is_changes_nothing(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text((ROOT / "deploy/.env.example").read_text())

    assert read({}, dotenv=dotenv) == read({})


def test_a_setting_that_is_missing_changed_or_invented_is_reported() -> None:
    port, host = ("PORT", "8080", "Port"), ("HOST", "", "Address")

    found = differences([port, host], [("PORT", "80", "Port"), host])

    assert found == [f"missing: {port}", f"not a setting: {('PORT', '80', 'Port')}"]
    assert differences([port], [port]) == []
