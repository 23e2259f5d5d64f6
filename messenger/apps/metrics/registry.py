"""What is counted. One registry per application; with several workers the counts lie in files they share.

Labels are bounded: route templates, never addresses or ids.
"""

from bisect import bisect_left

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MutexValue, ValueClass

import messenger

# Decided by prometheus_client when it is imported: PROMETHEUS_MULTIPROC_DIR, set by the master of several workers.
SHARED = ValueClass is not MutexValue
UPGRADED = 101
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every one, that only says when it began


class Followed:
    """A counter that follows a total kept elsewhere."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._seen = 0

    def reaches(self, total: int) -> None:
        self._counter.inc(total - self._seen)
        self._seen = total


class Waiting:
    """The counts of one series that are not written down yet."""

    __slots__ = ("answers", "buckets", "seconds")

    def __init__(self) -> None:
        self.answers = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(SECONDS) + 1)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "messenger_http_requests", "Requests answered", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "messenger_http_request_duration_seconds",
            "From the request's head to the end of its answer",
            ("method", "route"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.pool_in_use = Gauge(
            "messenger_db_pool_in_use",
            "Database connections lent out at this moment",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.doorbells_rung = self._followed(
            "doorbells_rung", "News of the log that this process told the others of, or would have if there were any"
        )
        self.doorbells_heard = self._followed(
            "doorbells_heard",
            "News of the log that others told this process of; what they rang beyond was lost, and came later",
        )
        self.silences = self._followed(
            "database_silences", "Times that the database did not answer, and every connection of this process was cut"
        )
        self.limited = self._followed("rate_limited", "Requests, messages and frames that were refused as too many")
        build = Gauge(
            "messenger_build_info",
            "Always 1; the version is in the label",
            ("version",),
            registry=self.registry,
            multiprocess_mode="max",
        )
        build.labels(messenger.__version__).set(1)
        self._waiting: dict[tuple[str, str, int], Waiting] = {}

    def _followed(self, name: str, says: str) -> Followed:
        return Followed(Counter(f"messenger_{name}", says, registry=self.registry))

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """One answer. To remember it takes 1 µs, to write it into a file that processes share 30."""
        waiting = self._waiting.get((method, route, status))
        if waiting is None:
            waiting = self._waiting[method, route, status] = Waiting()
        waiting.answers += 1
        waiting.seconds += seconds
        waiting.buckets[bisect_left(SECONDS, seconds)] += 1

    def write_down(self) -> None:
        """Every second, before a scrape and at the end: a process that is killed takes its last second along."""
        waiting, self._waiting = self._waiting, {}
        for (method, route, status), one in waiting.items():
            self.requests.labels(method, route, status).inc(one.answers)
            if status == UPGRADED:  # a socket's hours are no answer time
                continue
            # prometheus_client has no word for many observations at once.
            timed = self.seconds.labels(method, route)
            timed._sum.inc(one.seconds)
            for bucket, answers in zip(timed._buckets, one.buckets, strict=True):
                if answers:
                    bucket.inc(answers)

    def text(self) -> bytes:
        self.write_down()
        if not SHARED:
            return generate_latest(self.registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]
        return generate_latest(everybody)


METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)
