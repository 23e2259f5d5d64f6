"""Follows the log into the index. Every process does; a lock lets one at a time take a step, and the position of the
index goes with it. So what a process leaves undone when it dies is done by another, and what was said while nobody
followed is caught up with.

A search waits for the index to know what was said before it: it does not wait for a turn to come, but has a step taken.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
from aiohttp import web

from messenger.db.connection import ConnectionLost, ConnectionSet, ReconnectingConnection
from messenger.log.log import Log
from messenger.web.app_keys import CONFIG, DATABASE, LIVENESS, LOG

log = logging.getLogger(__name__)

AT_ONCE = 2000  # entries: a quarter of a second on a busy machine; by 100 the same words cost twice as much
FEWEST = 50  # when a step took longer than a statement may
GATHER = 0.05  # seconds: sorting many words into the index at once costs a fraction of sorting in each
# Documents in a step: where so much is written, a whole step is gathered. Who asks meanwhile has a step taken at once.
MANY, GATHER_MANY = 10, 2.0
LATEST_STEP = 0.5  # seconds without news of the log
LONGEST_WAIT = 2.0  # seconds that a question waits for the index
RETRY = 0.05
FOLLOW = "select upto, head, changed from search_follow($1, $2)"
BUSY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class Index:
    """The index, as this process follows the log into it: one step at a time, shared by all who wait for one."""

    def __init__(self, connection: ReconnectingConnection | ConnectionSet) -> None:
        self._connection = connection
        self._most = AT_ONCE
        self._rested_at = 0.0  # until then no question has a step taken
        self._step: asyncio.Task[asyncpg.Record | None] | None = None

    async def reach(self, position: int) -> bool:
        """Up to there, at once. False: it takes too long, because it is far or because nobody can follow."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_WAIT):
                while True:
                    step = await self.step(is_asked=True)
                    if step is None:
                        await asyncio.sleep(RETRY)
                    elif step["upto"] is not None and step["upto"] >= position:
                        return True
        return False

    async def step(self, *, is_asked: bool = False) -> asyncpg.Record | None:
        """None: it failed. Without a position: another process is taking one, and no question waits here."""
        if self._step is None or self._step.done():
            self._step = asyncio.create_task(self._follow(is_asked))
        return await asyncio.shield(self._step)

    async def _follow(self, is_asked: bool) -> asyncpg.Record | None:
        loop = asyncio.get_running_loop()
        if is_asked:  # questions take half of the time at most, so that many of them gather what many send
            await asyncio.sleep(self._rested_at - loop.time())
        began = loop.time()
        try:
            step = (await self._connection.rows(FOLLOW, self._most, is_asked))[0]
        except (ConnectionLost, *BUSY):  # nothing was done: a step is all or nothing
            self._most = max(self._most // 4, FEWEST)
            return None
        except Exception:
            log.exception("the index could not follow")
            return None
        self._most = min(2 * self._most, AT_ONCE)
        self._rested_at = loop.time() + min(loop.time() - began, GATHER_MANY)
        return step

    async def close(self) -> None:
        if self._step is not None:
            self._step.cancel()
            await asyncio.gather(self._step, return_exceptions=True)


INDEX: web.AppKey[Index] = web.AppKey("search_index", Index)


async def keep_following(index: Index, stream: Log) -> None:
    while True:
        step = await index.step()
        if step is None:
            await asyncio.sleep(LATEST_STEP)
        elif step["upto"] is None or step["upto"] >= step["head"]:
            here = step["upto"] or stream.tail.position
            await stream.moves(here, LATEST_STEP)
            await stream.moves(here + AT_ONCE, GATHER_MANY if (step["changed"] or 0) >= MANY else GATHER)


async def context(root: web.Application) -> AsyncIterator[None]:
    dsn = str(root[CONFIG].database.direct_url) or root[DATABASE].dsn
    connection = ReconnectingConnection(dsn, liveness=root[LIVENESS])
    index = root[INDEX] = Index(connection)
    task = asyncio.create_task(keep_following(index, root[LOG]), name="search index")
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await index.close()
    connection.close()
