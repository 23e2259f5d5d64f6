"""`python -m proof.bench.report [FOLDER]`: puts a run into docs/performance.md, tables and pictures, as they came."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from proof.bench.report import searches, soaks, tables
from proof.bench.report.pictures import draw
from proof.bench.report.results import Results
from proof.lab.processes import ROOT

PAGE = ROOT / "docs" / "performance.md"
PLACE = ROOT / "docs" / "performance"


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "bench-results")
    PLACE.mkdir(exist_ok=True)
    page = PAGE.read_text()
    if (folder / "results.json").exists():
        shutil.copyfile(folder / "results.json", PLACE / "results.json")
        results = Results.read(PLACE / "results.json")
        page = put(page, "run", "\n\n".join(run(results)))
    for name, everything in (("soak", soaks.everything), ("search", searches.everything)):
        if (folder / f"{name}.json").exists():
            shutil.copyfile(folder / f"{name}.json", PLACE / f"{name}.json")
            found = json.loads((PLACE / f"{name}.json").read_text())
            page = put(page, name, f"{about(found['about'])}\n\n{everything(found)}")
    PAGE.write_text(page)


def run(results: Results) -> Iterator[str]:
    yield about(results.about)
    for picture in draw(results, PLACE):
        yield f"![{picture.stem}](performance/{picture.name})"
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
