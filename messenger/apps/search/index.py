"""Follows the log into the index. Every process looks; a lock lets one of them write, and its position goes with it.

So whoever dies leaves nothing undone, and what was said while nobody followed is caught up with.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
from aiohttp import web

from messenger.log.follow import Log
from messenger.log.line import Line, LineLost
from messenger.web.keys import CONFIG, DATABASE, LOG, WATCH

log = logging.getLogger(__name__)

AT_ONCE = 2000  # entries: a second of work on a busy machine; by 500 the same words cost more than twice as much
FEWEST = 50  # when a step took longer than a statement may
GATHER = 0.05  # seconds: sorting many words into the index at once costs a fraction of sorting in each
MANY, GATHER_MANY = 50, 0.25  # documents in a step: whoever writes so much is soon found all the same
LOOK = 0.5  # at the latest, whatever was heard
FOLLOW = "select upto, head, changed from search_follow($1)"
BUSY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


async def keep_following(line: Line, stream: Log) -> None:
    most = AT_ONCE
    while True:
        beyond, pause = 0, GATHER
        try:
            step = await line.row(FOLLOW, most)
            most = min(2 * most, AT_ONCE)
            if (step["changed"] or 0) >= MANY:
                pause = GATHER_MANY
            if step["upto"] is not None and step["upto"] < step["head"]:
                continue
            beyond = step["upto"] or stream.tail.position
        except (LineLost, *BUSY):  # nothing was done: the step is all or nothing
            most = max(most // 4, FEWEST)
        except Exception:
            log.exception("the index could not follow")
        if beyond:
            await stream.moves(beyond, LOOK)
            await asyncio.sleep(pause)
        else:
            await asyncio.sleep(LOOK)


async def context(root: web.Application) -> AsyncIterator[None]:
    dsn = str(root[CONFIG].database.direct_url) or root[DATABASE].dsn
    line = Line(dsn, watch=root[WATCH])
    task = asyncio.create_task(keep_following(line, root[LOG]), name="search index")
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    line.close()
