"""Tells the store what this process has spent, and this process what all have spent; drops full buckets.

No request waits for the store longer than 50 ms. While the store does not answer, every process counts alone, and asks
again until it gets an answer.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from typing import TypeVar

from aiohttp import web

from messenger.apps.throttling.limits import Limits, Who
from messenger.apps.throttling.middleware import COUNTS
from messenger.apps.throttling.stores import Spending, Store, StoreLost
from messenger.db.connection import ReconnectingConnection
from messenger.web.app_keys import CONFIG, DATABASE, LIVENESS

T = TypeVar("T")

log = logging.getLogger(__name__)

PATIENCE = 0.05
LATEST = 2.0  # seconds until small spending is told
RETRY = 0.5
SWEEP = 30.0
MOST_AT_ONCE = 1000


class LimitSync:
    def __init__(self, limits: Limits, store: Store, *, waits: bool) -> None:
        """`waits`: several processes serve the same people, so a burst may have to wait for the store."""
        self._limits = {limit.name: limit for limit in limits}
        self._store = store
        self._waits = waits
        self._news = asyncio.Event()
        self._told_at = time.monotonic()
        self.is_answered = False
        for limit in limits:
            limit.share(self._news.set)

    async def run(self) -> None:
        while True:
            try:
                await self._keep_books()
            except Exception as error:  # an error here must not leave requests waiting for ever
                log.exception("limits could not be settled")
                self._count_alone(error)
                await asyncio.sleep(RETRY)

    async def _keep_books(self) -> None:
        await self._sweep()
        swept_at = time.monotonic()
        while time.monotonic() - swept_at < SWEEP:
            with suppress(TimeoutError):
                async with asyncio.timeout(LATEST):
                    await self._news.wait()
            self._news.clear()
            await self._settle()

    async def _settle(self) -> None:
        everything = time.monotonic() - self._told_at >= LATEST
        if everything:
            self._told_at = time.monotonic()
        is_full = True
        while is_full:
            spent: dict[tuple[str, Who], Spending] = {}
            for limit in self._limits.values():
                taken = limit.take_owed(MOST_AT_ONCE - len(spent), everything)
                spent |= {(limit.name, who): one for who, one in taken.items()}
            is_full = len(spent) == MOST_AT_ONCE
            if not spent or not await self._tell(spent):
                return

    async def _tell(self, spent: Mapping[tuple[str, Who], Spending]) -> bool:
        names = {f"{name}:{who}": (name, who) for name, who in spent}
        try:
            full_in = await self._patiently(self._store.spend(dict(zip(names, spent.values(), strict=True))))
        except StoreLost as error:
            self._count_alone(error)
            await asyncio.sleep(RETRY)
            return False
        self._count_together()
        for bucket, seconds in full_in.items():
            name, who = names[bucket]
            self._limits[name].hear(who, seconds)
        return True

    async def _sweep(self) -> None:
        for limit in self._limits.values():
            limit.sweep()
        try:
            await self._patiently(self._store.sweep())
            self._count_together()
        except StoreLost as error:
            self._count_alone(error)

    async def _patiently(self, question: Coroutine[None, None, T]) -> T:
        asking = asyncio.ensure_future(question)
        try:
            done, _ = await asyncio.wait({asking}, timeout=PATIENCE)
            if not done:
                self._wait_no_longer()
            return await asking
        finally:
            asking.cancel()

    def _count_alone(self, why: object) -> None:
        if self.is_answered:
            log.warning("limits are counted by each process alone: %s", why)
        self.is_answered = False
        self._wait_no_longer()

    def _wait_no_longer(self) -> None:
        for limit in self._limits.values():
            limit.hear_nothing()

    def _count_together(self) -> None:
        if not self.is_answered:
            log.info("limits are counted by all processes together")
        self.is_answered = True
        for limit in self._limits.values():
            limit.waits = self._waits


async def keep_sweeping(limits: Limits) -> None:
    while True:
        await asyncio.sleep(SWEEP)
        for limit in limits:
            limit.sweep()


def make_store(root: web.Application) -> Store | None:
    """None: this process counts alone."""
    config = root[CONFIG]
    if config.redis_url:
        from messenger.apps.throttling.stores.redis import RedisStore  # noqa: PLC0415

        return RedisStore(str(config.redis_url))
    if config.wire == "none":
        return None
    from messenger.apps.throttling.stores.postgres import PostgresStore  # noqa: PLC0415

    return PostgresStore(
        ReconnectingConnection(str(config.database.direct_url) or root[DATABASE].dsn, liveness=root[LIVENESS])
    )


async def context(root: web.Application) -> AsyncIterator[None]:
    limits, store = root[COUNTS], make_store(root)
    waits = root[CONFIG].server.workers_num > 1
    work = keep_sweeping(limits) if store is None else LimitSync(limits, store, waits=waits).run()
    task = asyncio.create_task(work, name="limits")
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    if store is not None:
        await store.close()
