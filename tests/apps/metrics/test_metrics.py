"""What is counted can be read by Prometheus, is true, and stays small whatever strangers ask for."""

import os
import random
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

import messenger
from tests.actors import Person
from tests.apps.metrics.scrapes import parsed, scraped, value


@pytest.fixture
def settings() -> dict[str, str]:
    return {"APPS": "health,docs,metrics"}


async def test_requests_are_counted_by_route_and_status(nobody: Person) -> None:
    for _ in range(3):
        await nobody.get("/ping")
    await nobody.post("/ping")
    await nobody.get("/docs/static/docs.js")
    await nobody.get("/docs/static/nothing")

    series = await scraped(nobody)

    requests = "messenger_http_requests_total"
    assert value(series, requests, method="GET", route="/ping", status="200") == 3
    assert value(series, requests, method="POST", route="unmatched", status="405") == 1
    assert value(series, requests, method="GET", route="/docs/static/{name}", status="200") == 1
    assert value(series, requests, method="GET", route="/docs/static/{name}", status="404") == 1
    seconds = "messenger_http_request_duration_seconds"
    assert value(series, f"{seconds}_count", method="GET", route="/ping") == 3
    assert 0 < value(series, f"{seconds}_sum", method="GET", route="/ping") < 3
    assert value(series, "messenger_build_info", version=messenger.__version__) == 1


async def test_every_name_says_where_it_comes_from(nobody: Person) -> None:
    for name, _ in await scraped(nobody):
        assert name.startswith("messenger_")


async def test_strangers_cannot_make_new_labels(nobody: Person) -> None:
    rng = random.Random(7)
    await nobody.get("/nowhere")
    await nobody.asks("PROPFIND", "/ping")
    await nobody.get("/docs/static/x")
    await nobody.get("/metrics")
    before = (await scraped(nobody)).keys()

    for number in range(1000):
        noise = quote(bytes(rng.randbytes(rng.randrange(1, 20))), safe="")
        path = ("/{0}", "/docs/{0}", "/v1/users/{0}", "/docs/static/{0}", "/ping/{0}")[number % 5].format("a" + noise)
        await nobody.get(path)
    await nobody.asks("MKCALENDAR", "/ping")

    after = await scraped(nobody)
    assert after.keys() == before
    others = value(after, "messenger_http_requests_total", method="other", route="unmatched", status="405")
    assert others == 2


async def test_database_connections_in_use_are_seen(nobody: Person) -> None:
    from messenger.web.app_keys import DATABASE

    db = nobody.server.runner.app[DATABASE]
    assert value(await scraped(nobody), "messenger_db_pool_in_use") == 0

    async with db.reading() as tx:
        await tx.session.connection()
        assert value(await scraped(nobody), "messenger_db_pool_in_use") == 1

    assert value(await scraped(nobody), "messenger_db_pool_in_use") == 0


async def test_what_the_wires_and_the_watch_over_the_database_count_is_told(nobody: Person) -> None:
    from messenger.web.app_keys import LIVENESS, LOG

    wire, watch = nobody.server.runner.app[LOG].wire, nobody.server.runner.app[LIVENESS]
    for rung, heard in ((3, 0), (3, 2), (7, 2)):
        wire.rung, wire.heard, watch.silences = rung, heard, heard

        series = await scraped(nobody)

        assert value(series, "messenger_doorbells_rung_total") == rung
        assert value(series, "messenger_doorbells_heard_total") == heard
        assert value(series, "messenger_database_silences_total") == heard


WORKER = """
import sys
from messenger.apps.metrics.registry import Metrics
from messenger.distribution import Distribution

metrics = Metrics()
distribution = Distribution()
distribution.note(0.003)
metrics.requests.labels("GET", "/ping", 200).inc(int(sys.argv[1]))
metrics.pool_in_use.set(int(sys.argv[1]))
metrics.position.set(10 - int(sys.argv[1]))
metrics.tail_lag.set(10 - int(sys.argv[1]))
metrics.follower_seconds.labels("search").set(10 - int(sys.argv[1]))
metrics.epoch_changes.reaches(1)
metrics.delivery_seconds.reaches(distribution)
sys.stdout.write(metrics.text().decode())
"""


def test_a_scrape_of_one_worker_speaks_for_all(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").touch()  # of one that begins at this moment
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", WORKER, count], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for count in ("3", "4")
    ]

    last = parsed(said[-1])

    assert value(last, "messenger_http_requests_total", method="GET", route="/ping", status="200") == 7
    assert value(last, "messenger_db_pool_in_use") == 7
    assert value(last, "messenger_log_position") == 7
    assert value(last, "messenger_tail_lag_seconds") == 7
    assert value(last, "messenger_follower_lag_seconds", follower="search") == 6
    assert value(last, "messenger_epoch_changes_total") == 2
    assert value(last, "messenger_delivery_latency_seconds_bucket", le="0.005") == 2
    assert value(last, "messenger_delivery_latency_seconds_bucket", le="0.0025") == 0
    assert value(last, "messenger_delivery_latency_seconds_sum") == pytest.approx(0.006)
    assert value(last, "messenger_build_info", version=messenger.__version__) == 1
