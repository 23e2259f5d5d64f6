"""What is counted. One registry per application; with several workers the counts lie in files they share.

Labels are bounded: route templates, codes, never addresses or ids.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.values import MutexValue, ValueClass

import messenger
from messenger.apps.metrics.following import Followed, FollowedByLabel, FollowedDistribution, add
from messenger.distribution import SECONDS, Distribution
from messenger.log.appender import SIZES
from messenger.web.sockets.closing import COMMON, LOST, UNNAMED

# Decided by prometheus_client when it is imported: PROMETHEUS_MULTIPROC_DIR, set by the master of several workers.
SHARED = ValueClass is not MutexValue
UPGRADED = 101

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every one, that only says when it began


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("http_requests", "Requests answered", "method", "route", "status")
        self.request_seconds = self._histogram(
            "http_request_duration_seconds",
            "From the request's head to the end of its answer",
            SECONDS,
            "method",
            "route",
        )
        self._answers: dict[tuple[str, str, int], Distribution] = {}  # that are not written down yet

        self.sent = FollowedByLabel(
            self._counter("messages_sent", "Messages acknowledged to their senders", "via", "duplicate"), sent_labels
        )
        self.sent.reaches({(via, is_repeat): 0 for via in ("rest", "ws") for is_repeat in (False, True)})
        self.refused = FollowedByLabel(
            self._counter("messages_refused", "Messages that were not stored, or perhaps not", "code"), str_labels
        )
        self.batch_sizes = FollowedDistribution(
            self._histogram("append_batch_size", "Messages and read marks in one batch", SIZES)
        )
        self.batch_seconds = FollowedDistribution(
            self._histogram("append_duration_seconds", "From taking up a batch to the answers of all in it", SECONDS)
        )
        self.waiting = self._gauge("append_waiting", "Messages and read marks that wait for the next batch", "livesum")

        self.position = self._gauge("log_position", "The last position that was published here", "livemax")
        self.tail_lag = self._gauge(
            "tail_lag_seconds", "For so long something may be in the log that was not published here", "livemax"
        )
        self.delivery_seconds = FollowedDistribution(
            self._histogram(
                "delivery_latency_seconds", "From a batch's stamp, just before its commit, to its last socket", SECONDS
            )
        )
        self.epoch_changes = self._followed("epoch_changes", "New epochs of the log that this process met")
        self.doorbells_rung = self._followed(
            "doorbells_rung", "News of the log that this process told the others of, or would have if there were any"
        )
        self.doorbells_heard = self._followed(
            "doorbells_heard",
            "News of the log that others told this process of; what they rang beyond was lost, and came later",
        )

        self.sockets = self._gauge("ws_connections", "Open sockets", "livesum")
        closed = self._counter("ws_closed", "Sockets that have ended, by their code; 1006: without one", "code")
        self.closed = FollowedByLabel(closed, code_labels)
        self.closed.reaches(dict.fromkeys((LOST, *(one.code for one in COMMON)), 0))

        self.pool_in_use = self._gauge("db_pool_in_use", "Database connections lent out at this moment", "livesum")
        self.pool_size = self._gauge("db_pool_size", "Database connections that may be lent out", "livesum")
        self.silences = self._followed(
            "database_silences", "Times that the database did not answer, and every connection of this process was cut"
        )
        self.limited = self._followed("rate_limited", "Requests, messages and frames that were refused as too many")

        # Of the database, so each process says the same, and the last to ask knows best.
        self.follower_entries = self._gauge(
            "follower_lag_entries",
            "Entries of the log that a follower has still to read",
            "livemostrecent",
            "follower",
        )
        self.follower_seconds = self._gauge(
            "follower_lag_seconds", "For so long the first of these has waited", "livemostrecent", "follower"
        )
        self.tasks = self._gauge("search_tasks", "Search tasks of the last hour", "livemostrecent", "state")

        build = self._gauge("build_info", "Always 1; the version is in the label", "max", "version")
        build.labels(messenger.__version__).set(1)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"messenger_{name}", says, labels, registry=self.registry)

    def _followed(self, name: str, says: str) -> Followed:
        return Followed(self._counter(name, says))

    def _histogram(self, name: str, says: str, bounds: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"messenger_{name}", says, labels, buckets=bounds, registry=self.registry)

    def _gauge(self, name: str, says: str, of_many: Any, *labels: str) -> Gauge:
        """`of_many`: what several workers say together."""
        return Gauge(f"messenger_{name}", says, labels, registry=self.registry, multiprocess_mode=of_many)

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """One answer."""
        answers = self._answers.get((method, route, status))
        if answers is None:
            answers = self._answers[method, route, status] = Distribution()
        answers.note(seconds)

    def write_down(self) -> None:
        """Every second, before a scrape and at the end: a process that is killed takes its last second along."""
        answers, self._answers = self._answers, {}
        for (method, route, status), some in answers.items():
            self.requests.labels(method, route, status).inc(sum(some.counts))
            if status != UPGRADED:  # a socket's hours are no answer time
                add(self.request_seconds.labels(method, route), some.counts, some.total)

    def text(self) -> bytes:
        self.write_down()
        if not SHARED:
            return generate_latest(self.registry)
        everybody = CollectorRegistry()
        everybody.register(Everybody(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])))
        return generate_latest(everybody)


class Everybody(Collector):
    """What all workers have written down. The file of one that begins is empty at first, which could not be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        files = [str(file) for file in self._folder.glob("*.db") if is_begun(file)]
        return MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call,no-any-return]


def is_begun(file: Path) -> bool:
    with suppress(FileNotFoundError):  # its worker has ended
        return file.stat().st_size > 0
    return False


def sent_labels(key: tuple[str, bool]) -> Sequence[str]:
    via, is_duplicate = key
    return via, str(is_duplicate).lower()


def str_labels(key: str) -> Sequence[str]:
    return (key,)


def code_labels(code: int) -> Sequence[str]:
    return ("other" if code == UNNAMED else str(code),)


METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)
