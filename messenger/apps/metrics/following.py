"""Metrics that follow what is counted elsewhere, in plain figures: only what is new is written down.

To count takes a fraction of a microsecond, to write into a file that processes share 30.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from prometheus_client import Counter, Histogram

from messenger.distribution import Distribution

K = TypeVar("K", bound=Hashable)


class Followed:
    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._seen = 0

    def reaches(self, total: int) -> None:
        if total != self._seen:
            self._counter.inc(total - self._seen)
            self._seen = total


class FollowedByLabel(Generic[K]):
    def __init__(self, counter: Counter, labels: Callable[[K], Sequence[str]]) -> None:
        """`labels`: of a key of the totals."""
        self._counter = counter
        self._labels = labels
        self._followed: dict[K, Followed] = {}

    def reaches(self, totals: Mapping[K, int]) -> None:
        for key, total in totals.items():
            followed = self._followed.get(key)
            if followed is None:
                followed = self._followed[key] = Followed(self._counter.labels(*self._labels(key)))
            followed.reaches(total)


class FollowedDistribution:
    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._seen = [0] * len(histogram._buckets)
        self._total = 0.0

    def reaches(self, now: Distribution) -> None:
        counts = [new - old for new, old in zip(now.counts, self._seen, strict=True)]
        add(self._histogram, counts, now.total - self._total)
        self._seen, self._total = list(now.counts), now.total


def add(histogram: Histogram, counts: Sequence[int], total: float) -> None:
    """prometheus_client has no word for many observations at once."""
    if any(counts):
        histogram._sum.inc(total)
        for bucket, count in zip(histogram._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
