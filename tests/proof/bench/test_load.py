"""The load tool from end to end at a tiny size: its figures mean nothing here, but each is there and none is void."""

import argparse
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from proof.bench import __main__ as bench
from proof.bench.baselines import floor
from proof.bench.load import plan
from proof.bench.load.questions import search
from proof.bench.load.servers import Servers
from proof.bench.report import searches, soaks, tables
from proof.bench.report.goals import judge
from proof.bench.report.pictures import draw
from proof.bench.report.results import Results

needs_two_cores = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core for the server, one for the load")


def options(*words: str) -> argparse.Namespace:
    return bench.parser().parse_args([*words, "--rounds", "1", "--seconds", "0.3", "--scale", "0.02"])


@needs_two_cores
@pytest.mark.long
@pytest.mark.timeout(900)  # thirty parts, five servers
async def test_every_scenario_and_limit_gives_a_figure_and_a_soak_loses_nothing(tmp_path: Path) -> None:
    given = options("--minutes", "0.05")

    with bench.open_servers(given) as servers:
        results = await bench.measured(given, bench.chosen([]), servers)
        soaked = await plan.soak(servers, given.minutes)
        searched = await search(servers, 3000)

    assert_all_is_there(results, tmp_path)
    assert soaked["void"] == []
    assert soaked["journal"]["acked"] == soaked["acked"] > 0
    assert {soaked["journal"][name] for name in ("lost", "doubled", "told_otherwise", "never_acked")} == {0}
    assert "nothing lost, nothing doubled" in soaks.everything(soaked)
    assert_the_same_is_found_by_all_ways(searched)


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
    not_measured = [one.goal.says for one in judge(results) if one.middle is None]
    assert [says for says in not_measured if "C send()" not in says or not results.notes()] == []
    for path in draw(results, folder):
        ElementTree.parse(path)  # noqa: S314
    results.write(folder / "results.json")
    assert tables.everything(Results.read(folder / "results.json")) == tables.everything(results)


async def test_without_a_compiler_the_floor_is_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")

    results = Results({})
    results.add("S2 100 connections: C send()", await plan.send_floor(100, Servers(tmp_path, 0.1)))

    assert floor.COMPILERS[0] in tables.everything(results)
    verdicts = {one.goal.says: one.verdict(one.goal.now) for one in judge(results)}
    assert verdicts["S2 CPU a delivery at 100, of a C send()"] == "not measured"
