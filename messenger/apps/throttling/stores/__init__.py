"""Stores that processes share: how deep a bucket has been drawn upon by all of them together.

A store knows neither rules nor tokens. It keeps the moment when each bucket will be full again, by its own clock, and
puts it off by the seconds that somebody says he spent. It may lose everything at any moment: then all buckets are full.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

KEPT = 60.0  # seconds that a full bucket is still remembered, for spendings that are told late


class StoreLost(Exception):  # noqa: N818  (it is what happened)
    """It does not answer: whether the spending was noted is unknown."""


@dataclass(frozen=True, slots=True)
class Spending:
    """Seconds of refilling that were spent, the first of them so many seconds ago (less than KEPT)."""

    seconds: float
    age: float = 0.0


class Store(Protocol):
    async def spend(self, spent: Mapping[str, Spending]) -> Mapping[str, float]:
        """Note what was spent from each bucket; the seconds until each is full (0 or less: it is). Raises StoreLost."""
        ...

    async def sweep(self) -> None:
        """Forget the full ones. Raises StoreLost."""
        ...

    async def close(self) -> None: ...
