"""Several workers and one store, step by step on a clock that stands still: who may speak, and in which order."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from messenger.apps.throttling.limits import Limit
from messenger.apps.throttling.stores import Spending
from messenger.settings import Rate

ALICE = 1
TOKENS = 10
TENTH = 0.1


class Workers:
    """Two processes; the way to the store and back takes as long as a test wants."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.full_at = 0.0  # by the store
        self.passed = 0
        self.limits = [Limit("send", Rate(TOKENS, 1), clock=lambda: self.now) for _ in range(2)]
        self._sent: list[Spending | None] = [None, None]
        self._answers: list[float | None] = [None, None]
        for limit in self.limits:
            limit.share(lambda: None)
            limit.waits = True

    def asks(self, worker: int) -> None:
        if self.limits[worker].passes(ALICE):
            self._pass()
        else:
            self.limits[worker].ask(ALICE, self._pass, lambda error: None)

    def tells(self, worker: int) -> None:
        if self._sent[worker] is None and self._answers[worker] is None:
            self._sent[worker] = self.limits[worker].take_owed(1000, everything=True).get(ALICE)

    def is_counted(self, worker: int) -> None:
        spent, self._sent[worker] = self._sent[worker], None
        if spent is not None:
            self.full_at = max(self.full_at, self.now - spent.age) + spent.seconds
            self._answers[worker] = self.full_at - self.now

    def hears(self, worker: int) -> None:
        seconds, self._answers[worker] = self._answers[worker], None
        if seconds is not None:
            self.limits[worker].hear(ALICE, seconds)

    def _pass(self) -> None:
        self.passed += 1


STEPS = st.tuples(st.sampled_from(["asks", "tells", "is_counted", "hears"]), st.integers(0, 1))
FAST_ONE = [(step, 1) for _ in range(20) for step in ("asks", "tells", "is_counted", "hears")]


@given(st.lists(STEPS, max_size=120))
@example([("asks", 0), ("asks", 0), ("tells", 0), *FAST_ONE])
def test_a_burst_over_two_workers_is_a_tenth_larger_at_most_however_slow_the_store(
    steps: Sequence[tuple[str, int]],
) -> None:
    workers = Workers()

    for step, worker in steps:
        getattr(workers, step)(worker)

    assert workers.passed <= TOKENS * (1 + TENTH)


def test_a_burst_over_two_workers_is_no_smaller_than_over_one() -> None:
    workers = Workers()

    for step in ("asks", "tells", "is_counted", "hears") * 2 * TOKENS:
        for worker in range(2):
            getattr(workers, step)(worker)

    assert workers.passed >= TOKENS


@pytest.mark.parametrize("forgets", [True, False])
async def test_what_is_delayed_keeps_its_order_also_when_the_store_forgets(forgets: bool) -> None:
    limit = Limit("send", Rate(1, 20), patience=5.0)
    limit.share(lambda: None)
    went: list[int] = []
    all_went = asyncio.Event()

    def go(number: int) -> None:
        went.append(number)
        if number == 3:
            all_went.set()

    def says(number: int) -> None:
        if limit.passes(ALICE):
            go(number)
        else:
            limit.ask(ALICE, lambda: go(number), pytest.fail)

    for number in range(3):
        says(number)
    if forgets:
        limit.take_owed(1, everything=True)
        limit.hear(ALICE, 0.0)
    says(3)
    await asyncio.wait_for(all_went.wait(), 10)

    assert went == [0, 1, 2, 3]
