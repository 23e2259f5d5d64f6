"""docs/requirements.md, read and tried: does each promise's test turn red when its feature is broken?

    python tests/requirements.py                list the rows and what state they are in
    python tests/requirements.py --break        break every closed row, one after the other, in a copy of the tree
    python tests/requirements.py --break 3.4    only these rows

How a row is broken stands in tests/requirements.toml: in one file, a piece of text and what takes its place. A row is
proven when its test passes in the untouched copy and fails in the broken one.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/requirements.md"
BREAKS = ROOT / "tests/requirements.toml"
SECONDS = 300  # for one test, on a busy machine
GREEN, RED = 0, 1  # exit codes of pytest; any other is a test that could not be asked
# What stands in the place of a test where none is asked for, or not yet.
STATES = {"overridden": "overridden", "open: next": "open"}


@dataclass(frozen=True)
class Row:
    number: str
    promise: str
    place: str
    test: str

    @property
    def state(self) -> str:
        return STATES.get(self.test, "closed")

    @property
    def places(self) -> list[str]:
        """The files and folders that are named."""
        return re.findall(r"`([^`]+)`", self.place)

    @property
    def node(self) -> str:
        """As pytest wants it."""
        return self.test.strip("`")


@dataclass(frozen=True)
class Break:
    how: str
    file: str
    old: str
    new: str

    def applied(self, tree: Path) -> str:
        """The broken file's text."""
        text = (tree / self.file).read_text()
        assert text.count(self.old) == 1, f"{self.file} has {text.count(self.old)} times what is to be replaced"
        return text.replace(self.old, self.new)


def rows(page: str) -> Iterator[Row]:
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and re.fullmatch(r"[1-5]\.\d+", cells[0]):
            yield Row(*(cells + [""] * 4)[:4])


def breaks(text: str) -> dict[str, Break]:
    return {number: Break(**facts) for number, facts in tomllib.loads(text).items()}


def copied(target: Path) -> Path:
    """What belongs to the repository, and nothing that was made beside it."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def asked(tree: Path, nodes: Iterable[str]) -> tuple[int, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV", "MESSENGER"))}
    options = ["-n", "0", "--no-cov", "-q", "-x", "-p", "no:cacheprovider", "--timeout", str(SECONDS)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *nodes],
        cwd=tree,
        env={**kept, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * SECONDS,
    )
    return done.returncode, done.stdout[-2000:]


def prove(tree: Path, row: Row, how: Break) -> str:
    """An empty answer: the row's test, green until now, is red with the break."""
    whole, broken = (tree / how.file).read_text(), how.applied(tree)
    (tree / how.file).write_text(broken)
    try:
        code, said = asked(tree, [row.node])
    finally:
        (tree / how.file).write_text(whole)
    if code == RED:
        return ""
    return "stays green when it is broken" if code == GREEN else f"could not be asked when broken:\n{said}"


def prove_all(chosen: list[Row], hows: dict[str, Break]) -> int:
    bad = 0
    with tempfile.TemporaryDirectory(prefix="messenger-requirements-") as folder:
        tree = copied(Path(folder))
        code, said = asked(tree, sorted({row.node for row in chosen}))
        if code != GREEN:
            print(f"Not all of the tests pass to begin with:\n{said}")
            return 1
        for row in chosen:
            complaint = prove(tree, row, hows[row.number])
            bad += bool(complaint)
            print(f"{row.number:5} {'WRONG' if complaint else 'proven'}  {row.promise} {complaint}", flush=True)
    print(f"{len(chosen) - bad} of {len(chosen)} rows are proven.")
    return 1 if bad else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--break", dest="rows", nargs="*", metavar="ROW", help="break these rows, or all closed ones")
    options = parser.parse_args(arguments)
    every = list(rows(PAGE.read_text()))
    if options.rows is None:
        for row in every:
            print(f"{row.number:5} {row.state:12} {row.promise}")
        return 0
    closed = {row.number: row for row in every if row.state == "closed"}
    unknown = [number for number in options.rows if number not in closed]
    if unknown:
        print(f"No closed rows: {', '.join(unknown)}", file=sys.stderr)
        return 2
    chosen = [closed[number] for number in options.rows] or list(closed.values())
    return prove_all(chosen, breaks(BREAKS.read_text()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
