"""The page about performance is what the report makes of the run that is kept beside it."""

import shutil
from pathlib import Path

import pytest

from proof.bench.report import __main__ as report
from proof.bench.report import summary, tables
from proof.bench.report.results import Results


def test_the_page_and_its_pictures_are_those_of_the_run_that_is_kept(tmp_path: Path) -> None:
    kept = tmp_path / "performance"
    shutil.copytree(report.PLACE, kept)
    for picture in kept.glob("*.svg"):
        picture.unlink()

    page = report.rendered(report.PAGE.read_text(), kept)

    assert page == report.PAGE.read_text(), "python -m proof.bench.report docs/performance"
    assert {one.name: one.read_text() for one in kept.glob("*.svg")} == {
        one.name: one.read_text() for one in report.PLACE.glob("*.svg")
    }


@pytest.fixture
def results() -> Results:
    results = Results({})
    for by, rate, server, postgres in (("product", 900.0, 0.02, 0.03), ("socket.io", 300.0, 0.1, 0.2)):
        cost = {"server": server, "postgres": postgres}
        results.add(f"S1 32 senders: {by}", {"acked_per_s": rate, "cpu_s_per_1000": cost, "void": []})
    results.add("S1 32 senders: FastAPI", {"note": "FastAPI: no network"})
    return results


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_short_table_says_who_sends_how_much_at_what_cost(results: Results) -> None:
    ours, theirs, missing = (cells(line) for line in summary.everything(results).splitlines()[2:])

    assert (ours[0], ours[3], ours[4]) == ("messenger", "900", "50")
    assert (theirs[0], theirs[3], theirs[4]) == ("socket.io + pg", "300", "300")
    assert missing[-1] == "not measured: FastAPI: no network"
    assert summary.drawn(results).count("<rect") == 2


def test_what_is_void_is_in_no_table_and_is_named(results: Results) -> None:
    results.add("S1 32 senders: product", {"acked_per_s": 9e9, "void": ["900 acknowledged, 899 rows"]})

    assert "9,000,000,000" not in summary.everything(results) + tables.everything(results)
    assert "VOID:\nS1 32 senders: product: 900 acknowledged, 899 rows" in tables.remarks(results)
