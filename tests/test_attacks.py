"""The list of attacks is true: every row names tests, and they are there."""

import re

from tests.requirements import ROOT
from tests.test_requirements import named_in

PAGE = ROOT / "docs" / "security.md"
GROUPS = "HIJKLMN"
ROW = re.compile(r"^\| ([A-Z][^|]*) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[^`:]+)::([^`]+)`")


def flaws(page: str) -> list[str]:
    found = []
    for row, _, cell in ROW.findall(page):
        tests = TEST.findall(cell)
        if len(tests) != cell.count("`") // 2 or not tests:
            found.append(f"{row}: {cell} is no list of tests")
        for path, name in tests:
            if not (ROOT / path).is_file() or name not in named_in(ROOT / path):
                found.append(f"{row}: there is no test {path}::{name}")
    return found


def test_every_attack_on_the_page_names_tests_that_are_there() -> None:
    page = PAGE.read_text()

    assert flaws(page) == []
    assert {row[0] for row, _, _ in ROW.findall(page)} == set(GROUPS)


def test_an_attack_that_nobody_tries_is_reported() -> None:
    assert flaws("| H1 | he knocks | `tests/test_attacks.py::test_of_nothing` |") != []
    assert flaws("| H1 | he knocks | `tests/nowhere.py::test_of_nothing` |") != []
    assert flaws("| H1 | he knocks | somewhere |") != []
