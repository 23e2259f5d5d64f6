"""The load tool from end to end at a tiny size: its figures mean nothing here, but each is there and none is void."""

import argparse
import os
import resource
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from proof.bench import __main__ as bench
from proof.bench.baselines import floor
from proof.bench.load import plan
from proof.bench.load.questions import search
from proof.bench.load.visitors import visit
from proof.bench.report import crowds, searches, soaks, summary, tables, visits
from proof.bench.report.goals import judge
from proof.bench.report.results import Results
from tests.page.conftest import find_browser

needs_two_cores = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core for the server, one for the load")


def options(*words: str) -> argparse.Namespace:
    return bench.parser().parse_args([*words, "--rounds", "1", "--seconds", "0.3", "--scale", "0.02"])


@needs_two_cores
@pytest.mark.long
@pytest.mark.timeout(900)  # forty parts, eight servers
async def test_every_scenario_limit_and_peer_gives_a_figure_and_a_soak_loses_nothing(tmp_path: Path) -> None:
    given = options("--minutes", "0.05", "--peers")

    with bench.open_servers(given) as servers:
        results = await bench.measured(given, bench.chosen([], peers=True), servers)
        soaked = await plan.soak(servers, given.minutes)
        searched = await search(servers, 3000)
        crowd = await plan.crowd(servers, 2000, 1000)

    assert_all_is_there(results, tmp_path)
    assert soaked["void"] == []
    assert soaked["journal"]["acked"] == soaked["acked"] > 0
    assert {soaked["journal"][name] for name in ("lost", "doubled", "told_otherwise", "never_acked")} == {0}
    assert "nothing lost, nothing doubled" in soaks.everything(soaked)
    assert_the_same_is_found_by_all_ways(searched)
    assert [one["void"] for one in crowd["of"].values()] == [[], []]
    assert "NOT MEASURED: 2,000 sockets; the limit of open files here leaves 20." in crowds.everything(crowd)


def assert_the_same_is_found_by_all_ways(searched: dict[str, Any]) -> None:
    found = {sort: {by: one["hits"] for by, one in ways.items()} for sort, ways in searched["sorts"].items()}
    assert all(min(found[sort].values()) > 0 for sort in found if sort != "nothing")
    assert set(found["nothing"].values()) == {0}
    by_words = searched["gist"]["sorts"]
    assert all(ways["GiST"]["hits"] == ways["GIN"]["hits"] for ways in by_words.values())
    assert searched["lag"]["acked_per_s"] > 0
    assert "findable within 2 s" in searches.everything(searched)


def assert_all_is_there(results: Results, folder: Path) -> None:
    assert results.voids() == []
    excused = [name for name in ("C send()", "socket.io") if any(name in note for note in results.notes())]
    not_measured = [one.goal.says for one in judge(results) if one.middle is None]
    assert [says for says in not_measured if not any(name in says for name in excused)] == []
    ElementTree.fromstring(summary.drawn(results))  # noqa: S314
    results.write(folder / "results.json")
    assert tables.everything(Results.read(folder / "results.json")) == tables.everything(results)


@needs_two_cores
@pytest.mark.browser
@pytest.mark.long
@pytest.mark.timeout(300)
async def test_each_wait_at_the_page_gives_a_figure() -> None:
    find_browser()

    with bench.open_servers(options()) as servers:
        found = await visit(servers)

    assert visits.GOALS.keys() <= found["waits"].keys()
    assert all(wait >= 0 for waits in found["waits"].values() for wait in waits)
    assert found["walk"]["moved"] == 0
    said = visits.everything(found)
    assert "kill -9: the banner" in said and "no task over 100 ms" in said


@needs_two_cores
async def test_what_was_acknowledged_and_is_no_row_makes_the_figure_void() -> None:
    with bench.open_servers(options()) as servers:
        forgetful = await servers.named("null")
        honest = await plan.sends("null", 2, servers)
        forgetful.keeps_rows = True
        found = await plan.sends("null", 2, servers)

    assert honest["void"] == []
    assert found["void"] == [f"{found['acked']} acknowledged, 0 rows"]


def test_as_many_sockets_as_the_limit_of_files_allows() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert bench.allowed(100) == 100
        assert 100 < bench.allowed(10**9) <= resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[0], resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


async def test_what_is_not_installed_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    parts = [part for part in bench.chosen(["S2"], peers=True) if part.by in ("C send()", "socket.io")]

    with bench.open_servers(options()) as servers:
        results = await bench.measured(options(), parts, servers)

    said = "\n".join([summary.everything(results), *tables.remarks(results)])
    assert f"NOT MEASURED: none of {floor.COMPILERS[0]}" in said
    assert "not measured: socket.io: Node and npm are not installed" in said
    assert {one.verdict(one.goal.bound) for one in judge(results)} == {"not measured"}
