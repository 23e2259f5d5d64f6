"""`python -m proof.bench.report [FOLDER]`: puts a run into docs/performance.md, tables and a picture, as they came."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from proof.bench.report import crowds, searches, soaks, summary, tables, visits
from proof.bench.report.results import Results
from proof.lab.processes import ROOT

PAGE = ROOT / "docs" / "performance.md"
PLACE = ROOT / "docs" / "performance"
SHORT = "summary.svg"
ALONE = {
    "idle": crowds.everything,
    "soak": soaks.everything,
    "search": searches.everything,
    "page": visits.everything,
}


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "bench-results")
    PLACE.mkdir(exist_ok=True)
    for name in ("results", *ALONE):
        new = folder / f"{name}.json"
        if new.exists() and folder.resolve() != PLACE:
            shutil.copyfile(new, PLACE / new.name)
    PAGE.write_text(rendered(PAGE.read_text(), PLACE))


def rendered(page: str, place: Path) -> str:
    """The page with what is kept in this folder; the picture is drawn beside it."""
    if (place / "results.json").exists():
        results = Results.read(place / "results.json")
        page = put(page, "summary", "\n\n".join(short(results, place)))
        page = put(page, "run", "\n\n".join(run(results)))
    for name, everything in ALONE.items():
        if (place / f"{name}.json").exists():
            found = json.loads((place / f"{name}.json").read_text())
            page = put(page, name, f"{about(found['about'])}\n\n{everything(found)}")
    return page


def short(results: Results, place: Path) -> Iterator[str]:
    (place / SHORT).write_text(summary.drawn(results))
    yield f"![{summary.TITLE}](performance/{SHORT})"
    yield summary.everything(results)
    yield from tables.remarks(results)


def run(results: Results) -> Iterator[str]:
    yield about(results.about)
    yield tables.everything(results)


def about(what: dict[str, object]) -> str:
    return (
        f"`{what['command']}`, {what['began']}; {what['cores']} cores, Python {what['python']}, {what['machine']}."
        " Medians (smallest..largest round)."
    )


def put(page: str, name: str, words: str) -> str:
    """Between the two marks of this name."""
    marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.S)
    assert marks.search(page), f"docs/performance.md has no place for the {name}"
    return marks.sub(lambda found: f"{found[1]}{words}\n{found[2]}", page)


if __name__ == "__main__":
    main()
