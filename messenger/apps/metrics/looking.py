"""Reads what other rooms count, and asks the database for what only it knows."""

import asyncio
import logging
from collections import Counter
from math import nan

from aiohttp import web

from messenger.apps.metrics.registry import METRICS
from messenger.db.together import Together
from messenger.errors import Unavailable
from messenger.web.access import LIMITS
from messenger.web.app_keys import CONFIG, DATABASE, LIVENESS, LOG
from messenger.web.figures import SEARCH_BACKLOG, SENDING, TASK_STATES, SearchBacklog
from messenger.web.sockets.links import OPEN_LINKS

log = logging.getLogger(__name__)

PATIENCE = 0.5  # seconds; without an answer its figures are not known, and all others are told
UNKNOWN = SearchBacklog(nan, nan, dict.fromkeys(TASK_STATES, nan))


def look(app: web.Application) -> None:
    found, stream = app[METRICS], app[LOG]
    found.position.set(stream.tail.position)
    found.tail_lag.set(stream.tail.lag)
    found.delivery_seconds.reaches(stream.tail.deliveries)
    found.epoch_changes.reaches(stream.tail.epoch_changes)
    found.doorbells_rung.reaches(stream.wire.rung)
    found.doorbells_heard.reaches(stream.wire.heard)
    found.pool_in_use.set(app[DATABASE].in_use)
    found.pool_size.set(app[CONFIG].database.pool_size)
    found.silences.reaches(app[LIVENESS].silences)
    if LIMITS in app:
        found.limited.reaches(app[LIMITS].refused)
    if SENDING in app:
        sending = app[SENDING]
        found.sent.reaches(sending.sent)
        found.refused.reaches(sending.refused)
        found.batch_sizes.reaches(sending.appender.sizes)
        found.batch_seconds.reaches(sending.appender.durations)
        found.waiting.set(len(sending.appender.waiting))
    links = app.get(OPEN_LINKS, [])
    found.sockets.set(sum(map(len, links)))
    found.closed.reaches(sum((one.ended for one in links), Counter()))


class Questions:
    """One at a time for all who scrape, since everybody may."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._together: Together[None, SearchBacklog] = Together(self._ask)

    async def ask(self) -> None:
        """For a scrape. With several workers the one that it meets asks, and what was asked last is told."""
        if SEARCH_BACKLOG not in self._app:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                backlog = await self._together.answer(None)
        except (TimeoutError, Unavailable):
            backlog = UNKNOWN
        except Exception:
            log.exception("how much is left to do could not be asked")
            backlog = UNKNOWN
        found = self._app[METRICS]
        found.follower_entries.labels("search").set(backlog.entries)
        found.follower_seconds.labels("search").set(backlog.seconds)
        for state, number in backlog.tasks.items():
            found.tasks.labels(state).set(number)

    async def stop(self) -> None:
        await self._together.stop()

    async def _ask(self, waiting: list[None]) -> list[SearchBacklog]:
        return [await self._app[SEARCH_BACKLOG]()] * len(waiting)
