"""Writes docs/settings.md and deploy/.env.example out of Config: `make docs`."""

from pathlib import Path

from messenger.settings import Config, Knob, groups

HEAD_OF_PAGE = """\
# Settings

Read once at start. In falling order: flags of `messenger-api`, the environment, `NAME_FILE` (a file with the value,
for secrets), `.env` in the current folder, the default. Lists have commas. `messenger-api --print-config` shows every
value and its source; secrets, and passwords inside addresses, are masked. A bad value is refused by name with what was
expected; a misspelt name gets a "did you mean". More on [limits](decisions/007-limits-without-a-round-trip.md) and
[kept pages](decisions/005-answers-from-memory.md). `make docs` writes this page.
"""
HEAD_OF_SAMPLE = """\
# Every setting with its default; lists have commas. Copy to .env and uncomment what should differ.
# NAME_FILE=/path works for each of them: the value is then read from that file. `make docs` writes this file.
"""
ROOT = Path(__file__).parents[2]


def settings_page() -> str:
    return HEAD_OF_PAGE + "".join(
        f"\n## {title}\n\n| name | default | why |\n|---|---|---|\n" + "".join(map(_row, knobs))
        for title, knobs in groups()
    )


def env_example() -> str:
    return HEAD_OF_SAMPLE + "".join(
        f"\n# --- {title} ---\n" + "".join(f"\n# {knob.why}\n#{knob.name}={knob.shown(Config())}\n" for knob in knobs)
        for title, knobs in groups()
    )


def documents() -> dict[Path, str]:
    return {ROOT / "docs" / "settings.md": settings_page(), ROOT / "deploy" / ".env.example": env_example()}


def _row(knob: Knob) -> str:
    default = knob.shown(Config())
    return f"| `{knob.name}` | {default and f'`{default}`'} | {knob.why} |\n"


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text)
