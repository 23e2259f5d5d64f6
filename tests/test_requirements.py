"""The table of promises is whole: every file and test that it names is there, and every closed row can be broken."""

import ast
from pathlib import Path

import pytest

from tests.requirements import BREAKS, PAGE, ROOT, Break, Row, breaks, prove, rows

ROWS = list(rows(PAGE.read_text()))
HOWS = breaks(BREAKS.read_text())


def named_in(path: Path) -> set[str]:
    """As pytest names them: in classes too."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{one.name}" for one in node.body if hasattr(one, "name")}
    return found


def flaws(row: Row) -> list[str]:
    found = [f"{row.number}: {name} is empty" for name in ("promise", "place", "test") if not getattr(row, name)]
    found += [f"{row.number}: {place} is not there" for place in row.places if not (ROOT / place).exists()]
    if row.state != "closed":
        return found + ([f"{row.number} is not closed and is broken"] if row.number in HOWS else [])
    path, _, name = row.node.partition("::")
    if not (ROOT / path).is_file() or name not in named_in(ROOT / path):
        found.append(f"{row.number}: there is no test {row.node}")
    if row.number not in HOWS:
        return [*found, f"{row.number}: nothing says how to break it"]
    if not HOWS[row.number].how:
        found.append(f"{row.number}: how is empty")
    try:
        HOWS[row.number].applied(ROOT)
    except (AssertionError, OSError) as error:
        found.append(f"{row.number}: {error}")
    return found


def test_every_row_is_whole_and_names_what_is_there() -> None:
    assert len(ROWS) >= 90
    assert [flaw for row in ROWS for flaw in flaws(row)] == []
    assert len({row.number for row in ROWS}) == len(ROWS)
    assert {row.number[0] for row in ROWS} == set("12345")
    assert HOWS.keys() <= {row.number for row in ROWS}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"promise": ""}, "is empty"),
        ({"place": "`messenger/nowhere.py`"}, "is not there"),
        ({"test": "`tests/test_requirements.py::test_of_nothing`"}, "there is no test"),
        ({"number": "1.99"}, "nothing says how"),
    ],
)
def test_a_row_that_is_not_whole_is_reported(change: dict[str, str], complaint: str) -> None:
    whole = next(row for row in ROWS if row.state == "closed")

    assert any(complaint in flaw for flaw in flaws(Row(**{**vars(whole), **change})))


# As in the project: a plugin that is found by itself costs more than the test.
PLUGINS = """
[pytest]
addopts = --disable-plugin-autoload -p xdist.plugin -p pytest_timeout -p pytest_cov.plugin
"""
SUITE = """
from place import sum_of

def test_one_and_one_is_two():
    assert sum_of(1, 1) == 2
"""


@pytest.mark.parametrize(
    ("new", "complaint"),
    [("a - b", ""), ("b + a", "stays green"), ("a +", "could not be asked")],
    ids=["broken", "not broken", "no program"],
)
def test_a_row_is_proven_by_red_alone(tmp_path: Path, new: str, complaint: str) -> None:
    (tmp_path / "place.py").write_text("def sum_of(a, b):\n    return a + b\n")
    (tmp_path / "pytest.ini").write_text(PLUGINS)
    (tmp_path / "test_place.py").write_text(SUITE)
    row = Row("1.1", "adds", "`place.py`", "`test_place.py::test_one_and_one_is_two`")

    found = prove(tmp_path, row, Break("subtract", "place.py", "a + b", new))

    assert found.startswith(complaint)
    assert bool(found) is bool(complaint)
    assert "a + b" in (tmp_path / "place.py").read_text()
