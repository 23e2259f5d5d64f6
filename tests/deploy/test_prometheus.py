"""Prometheus takes what it is given: its settings, the alerts with a case for and against each, and live metrics; and
whatever the alerts and the dashboard ask for is there to be asked.
"""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from proof.lab.processes import Process, free_port
from proof.lab.waiting import happens
from tests.actors import Person
from tests.apps.metrics.scrapes import parsed, scraped, value
from tests.deploy.conftest import Program
from tests.sockets import Refused

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "messenger.json").read_text())
METRIC = re.compile(r"\bmessenger_[a-z_]+\b")
WITHIN = "1m"  # what Grafana would put in the place of its word for it
SECONDS = 30.0


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


RULES = [rule for group in read("alerts.yml")["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule["expr"] for rule in RULES}


def shown() -> Iterator[tuple[str, str]]:
    """What the dashboard asks, by the title of its panel."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", WITHIN)
    for one in DASHBOARD["annotations"]["list"]:
        yield one["name"], one["expr"]


def run(*command: object, said: bytes = b"") -> None:
    done = subprocess.run([str(word) for word in command], input=said, capture_output=True, cwd=FOLDER, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_prometheus_takes_its_settings_and_rules(program: Program) -> None:
    run(program("promtool"), "check", "config", "prometheus.yml")


def test_each_alert_fires_when_it_should_and_only_then(program: Program) -> None:
    run(program("promtool"), "test", "rules", "alerts_test.yml")


def test_each_alert_has_a_case_for_and_a_case_against_it() -> None:
    cases = [
        (case["alertname"], bool(case.get("exp_alerts")), test["name"])
        for test in read("alerts_test.yml")["tests"]
        for case in test["alert_rule_test"]
    ]
    firing = {alert: {name for one, fires, name in cases if one == alert and fires} for alert in ALERTS}
    quiet = {alert: {name for one, fires, name in cases if one == alert and not fires} for alert in ALERTS}

    assert {one for one, _, _ in cases} == ALERTS.keys()
    assert all(firing.values())
    assert all(quiet[alert] - firing[alert] for alert in ALERTS)


def test_each_alert_has_a_paragraph_for_who_is_woken_by_it() -> None:
    words = (ROOT / "docs" / "operations.md").read_text()
    section = words.partition("\n## Alerts\n")[2].partition("\n## ")[0]

    assert re.findall(r"^\*\*(\w+)\*\*", section, re.MULTILINE) == list(ALERTS)


async def test_alerts_and_dashboard_ask_for_metrics_that_there_are(alice: Person) -> None:
    text = (await alice.get("/metrics")).expecting(200).body.decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    parts = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
    there = {name + part for name, kind in kinds.items() for part in parts[kind]}

    asked = {name for _, expr in (*ALERTS.items(), *shown()) for name in METRIC.findall(expr)}

    assert asked - there == set()
    assert {name for name in kinds if not any(one.startswith(name) for one in asked)} == UNSHOWN


# For who wants to know more than the dashboard shows.
UNSHOWN = {
    "messenger_build_info",
    "messenger_doorbells_heard_total",
    "messenger_doorbells_rung_total",
    "messenger_follower_lag_entries",
    "messenger_http_request_duration_seconds",
    "messenger_log_position",
}


async def test_live_metrics_are_as_they_should_be(program: Program, alice: Person) -> None:
    run(program("promtool"), "check", "metrics", said=(await alice.get("/metrics")).expecting(200).body)


async def test_live_metrics_of_two_workers_are_as_they_should_be(program: Program, dsn: str, tmp_path: Path) -> None:
    process = Process(tmp_path, {"DATABASE_URL": dsn, "WORKERS_NUM": "2"}).start()
    try:
        await process.ready(SECONDS)

        async def text() -> str:
            async with aiohttp.ClientSession() as http, http.get(f"{process.url}/metrics") as answer:
                assert answer.status == 200
                return await answer.text()

        async def speaks_for_both() -> bool:
            return value(parsed(await text()), "messenger_db_pool_size") == 20

        await happens(speaks_for_both, "both workers", SECONDS)
        run(program("promtool"), "check", "metrics", said=(await text()).encode())
    finally:
        process.kill()


async def test_a_prometheus_that_scrapes_us_answers_whatever_is_asked(
    program: Program, alice: Person, bob: Person, tmp_path: Path
) -> None:
    asked = list(shown())
    async with scraping(program("prometheus"), alice.server.url, tmp_path) as url, aiohttp.ClientSession() as http:

        async def ask(expr: str) -> list[Any]:
            async with http.get(f"{url}/api/v1/query", params={"query": expr}) as answer:
                found = await answer.json()
            assert found["status"] == "success", f"{expr}: {found}"
            return list(found["data"]["result"])

        await some_of_everything(alice, bob)  # what is counted for the first time
        before = await scraped(alice)

        async def is_scraped() -> bool:
            found = await ask("sum(messenger_http_requests_total) or vector(0)")
            return float(found[0]["value"][1]) >= sum(
                figure for (name, _), figure in before.items() if name == "messenger_http_requests_total"
            )

        await happens(is_scraped, "a scrape", SECONDS)
        await some_of_everything(alice, bob)  # a rate needs two looks

        async def is_answered() -> bool:
            return all([await ask(expr) for title, expr in asked if title != "New epochs"])

        with suppress(AssertionError):
            await happens(is_answered, "answers", SECONDS)
        assert {(title, expr) for title, expr in asked if title != "New epochs" and not await ask(expr)} == set()
        for expr in (*ALERTS.values(), *(expr for title, expr in asked if title == "New epochs")):
            await ask(expr)


async def some_of_everything(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch", [bob])
    async with bob.connects() as socket:
        for _ in range(2):
            await socket.asks("new_message", chat_id=chat, text="pizza?", client_id="one")
        await alice.post(f"/v1/chats/{chat}/messages", {"text": "sushi!"})
        with pytest.raises(Refused):
            await socket.asks("new_message", chat_id="999999", text="anybody?")
    await alice.get("/v1/nowhere")


@asynccontextmanager
async def scraping(prometheus: str, url: str, folder: Path) -> AsyncIterator[str]:
    """A Prometheus as it is deployed, in a hurry and with another target."""
    settings = read("prometheus.yml")
    settings["global"] = {"scrape_interval": "500ms", "evaluation_interval": "1s"}
    settings["rule_files"] = [str(FOLDER / "alerts.yml")]
    settings["scrape_configs"][0]["static_configs"] = [{"targets": [url.removeprefix("http://")]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    address = f"127.0.0.1:{free_port()}"
    words = (folder / "prometheus.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        prometheus,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address={address}",
        stdout=words,
        stderr=words,
    )

    async def is_ready() -> bool:
        assert process.returncode is None, (folder / "prometheus.log").read_text()
        with suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as http, http.get(f"http://{address}/-/ready") as answer:
                return answer.status == 200
        return False

    try:
        await happens(is_ready, "Prometheus", SECONDS)
        yield f"http://{address}"
    finally:
        process.kill()
        await process.wait()
        words.close()
