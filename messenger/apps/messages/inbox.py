"""Takes up what other applications sent inside their own transactions with `SELECT messenger.send(…)`.

Every process looks; a lock lets one of them take at a time. A refused draft is kept with its reason and counted.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
from aiohttp import web

from messenger.db.connection import ConnectionLost, ReconnectingConnection
from messenger.log.log import Log
from messenger.web.app_keys import CONFIG, DATABASE, LIVENESS, LOG

log = logging.getLogger(__name__)

LOOK = 0.25
MOST = 100
DRAIN = "select case when exists (select from inbox_drafts) then log_drain_inbox($1) end as last"


async def keep_taking(connection: ReconnectingConnection, stream: Log) -> None:
    while True:
        try:
            last = (await connection.row(DRAIN, MOST))["last"]
        except (ConnectionLost, asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            last = None  # nothing was taken: the transaction is all or nothing
        except Exception:
            log.exception("the inbox could not be taken up")
            last = None
        if last is None:
            await asyncio.sleep(LOOK)
        else:
            stream.heard_commit(last)


async def context(root: web.Application) -> AsyncIterator[None]:
    dsn = str(root[CONFIG].database.direct_url) or root[DATABASE].dsn
    connection = ReconnectingConnection(dsn, {"lock_timeout": "250ms"}, liveness=root[LIVENESS])
    task = asyncio.create_task(keep_taking(connection, root[LOG]))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    connection.close()
