"""A bucket is the same thing in this process, in Redis and in PostgreSQL: that of a model which counts tokens."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messenger.apps.throttling.bucket import Rule
from messenger.apps.throttling.limits import MOST_BUCKETS, Limit
from messenger.apps.throttling.stores import KEPT, Spending, Store
from messenger.apps.throttling.stores.postgres import PostgresStore
from messenger.apps.throttling.stores.redis import RedisStore
from messenger.db.connection import ReconnectingConnection
from messenger.errors import TooManyRequests
from messenger.settings import Rate
from tests.log.test_wires import running_valkey

NAMES = count(1)
RATES = st.builds(Rate, st.integers(1, 50), st.sampled_from([0.1, 0.5, 1.0, 3.0, 50.0]))
# So long after the one before, so many tokens.
SPENDINGS = st.lists(st.tuples(st.floats(0, KEPT / 20), st.integers(1, 20)), min_size=1, max_size=12)


class Model:
    """Tokens that come back drop by drop. May be overdrawn."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.tokens = float(rate.tokens)
        self.now = 0.0

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.tokens = min(self.rate.tokens, self.tokens + seconds * self.rate.per_second)

    @property
    def full_in(self) -> float:
        return (self.rate.tokens - self.tokens) / self.rate.per_second


class InProcess:
    """The arithmetic itself, as a Limit does it."""

    def __init__(self) -> None:
        self.full_at: dict[str, float] = {}

    def spend(self, bucket: str, spent: Spending, rule: Rule) -> float:
        now = time.monotonic()
        for _ in range(round(spent.seconds / rule.interval)):
            self.full_at[bucket] = rule.spend(self.full_at.get(bucket, 0.0), now - spent.age)
        return self.full_at[bucket] - now


@asynccontextmanager
async def keeper(kind: str, folder: Path, dsn: str) -> AsyncIterator[InProcess | Store]:
    if kind == "process":
        yield InProcess()
    elif kind == "redis":
        async with running_valkey(folder) as (url, _):
            store = RedisStore(url)
            try:
                yield store
            finally:
                await store.close()
    else:
        table = PostgresStore(ReconnectingConnection(dsn))
        try:
            yield table
        finally:
            await table.close()


@pytest.mark.parametrize("kind", ["process", "redis", "postgres"])
def test_a_bucket_is_what_the_model_says(kind: str, tmp_path: Path, dsn: str) -> None:
    async def follow(buckets: InProcess | Store, rate: Rate, spendings: list[tuple[float, int]]) -> None:
        bucket, model, rule = f"test:{next(NAMES)}", Model(rate), Rule.of(rate)
        began, slowest = time.monotonic() - sum(gap for gap, _ in spendings), 0.0
        for gap, tokens in spendings:
            model.wait(gap)
            model.tokens -= tokens
            asked = time.monotonic()
            age = asked - began - model.now
            spending = Spending(tokens * rule.interval, age)
            if isinstance(buckets, InProcess):
                found = buckets.spend(bucket, spending, rule)
            else:
                found = (await buckets.spend({bucket: spending}))[bucket]
            slowest = max(slowest, time.monotonic() - asked)  # it is spent so much later at most
            assert found == pytest.approx(model.full_in - age, abs=slowest + 0.001)

    with asyncio.Runner() as runner:

        async def examine() -> None:
            async with keeper(kind, tmp_path, dsn) as buckets:
                questions.append(buckets)
                await over.wait()

        questions: list[InProcess | Store] = []
        over = asyncio.Event()
        examining = runner.get_loop().create_task(examine())
        while not questions:
            runner.run(asyncio.sleep(0.01))

        @settings(max_examples=60, database=None)
        @given(rate=RATES, spendings=SPENDINGS)
        def holds(rate: Rate, spendings: list[tuple[float, int]]) -> None:
            runner.run(follow(questions[0], rate, spendings))

        try:
            holds()
        finally:
            over.set()
            runner.run(asyncio.wait_for(examining, 20))


@given(rate=RATES, gaps=st.lists(st.floats(0, 3), min_size=1, max_size=200))
def test_a_limit_lets_pass_what_the_model_does_and_says_how_long_to_wait(rate: Rate, gaps: list[float]) -> None:
    model, now = Model(rate), [1000.0]
    limit = Limit("test", rate, clock=lambda: now[0])
    for gap in gaps:
        model.wait(gap)
        now[0] += gap
        told: list[float] = []
        allowed = limit.passes(1)
        if not allowed:
            limit.ask(1, lambda: told.append(0.0), lambda error: told.append(error.retry_after or 0.0))
        if abs(model.tokens - 1) > 1e-3:  # nearer than a thousandth the digits of floats decide
            assert allowed is (model.tokens >= 1)
        if allowed:
            model.tokens -= 1
        else:
            assert told[0] == pytest.approx((1 - model.tokens) / rate.per_second, abs=1e-3)
        left, more = limit.state(1)
        assert left == pytest.approx(model.tokens, abs=1.001)
        assert 0 <= more <= 1 / rate.per_second + 1


def test_full_buckets_are_not_kept_and_all_of_them_are_bounded() -> None:
    now = [1000.0]
    limit = Limit("test", Rate(10, 1), clock=lambda: now[0])

    for address in range(MOST_BUCKETS + 1000):
        assert limit.passes(f"2001:db8::{address:x}")
    assert len(limit) <= MOST_BUCKETS
    now[0] += 1
    limit.sweep()

    assert len(limit) == 0


def test_light_use_is_told_in_time_and_who_draws_deep_is_told_of_at_once() -> None:
    told: list[bool] = []
    limit = Limit("test", Rate(100, 1), clock=lambda: 1000.0)
    limit.share(lambda: told.append(True))

    for person in range(1000):
        assert limit.passes(person)
    for _ in range(9):
        assert limit.passes(1)
    assert not told and limit.take_owed(10**6, everything=False) == {}
    assert not limit.passes(1)
    went: list[bool] = []
    limit.ask(1, lambda: went.append(True), pytest.fail)

    assert went == told == [True]
    assert limit.take_owed(10**6, everything=False) == {1: Spending(11.0)}
    assert limit.take_owed(10**6, everything=True) == {person: Spending(1.0) for person in range(1000) if person != 1}


def test_what_nobody_would_hear_of_for_a_minute_is_forgotten_with_its_full_bucket() -> None:
    now = [1000.0]
    limit = Limit("test", Rate(10, 0.1), clock=lambda: now[0])
    limit.share(lambda: None)
    for address in range(1000):
        assert limit.passes(f"2001:db8::{address:x}")
    for _ in range(7):
        limit.ask("a spammer", lambda: None, pytest.fail)

    now[0] += KEPT + 1
    limit.sweep()

    assert limit.take_owed(10**6, everything=True).keys() == {"a spammer"}


def test_who_is_refused_spends_nothing() -> None:
    now = [1000.0]
    limit = Limit("test", Rate(2, 1), clock=lambda: now[0])
    assert limit.passes(1) and limit.passes(1)
    refused: list[TooManyRequests] = []

    for _ in range(100):
        assert not limit.passes(1)
        limit.ask(1, pytest.fail, refused.append)
    now[0] += 1

    assert limit.passes(1)
    assert len(refused) == limit.refused == 100
