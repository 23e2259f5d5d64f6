"""Deletes entries older than LOG_RETENTION_DAYS, in small steps; a cursor older than what is kept gets a `resync`."""

import asyncio
import logging
from datetime import timedelta

from messenger.db.connection import ConnectionLost, ConnectionSet

log = logging.getLogger(__name__)

ROUND = 3600.0
STEP = 5000
PRUNE = "select log_prune(clock_timestamp() - $1::interval, $2) as gone"


async def prune(connections: ConnectionSet, days: int) -> int:
    """One round; returns how many entries were deleted."""
    gone = 0
    while step := (await connections.row(PRUNE, timedelta(days=days), STEP))["gone"]:
        gone += step
        await asyncio.sleep(0)  # a long round is made of short locks
    return gone


async def keep_pruning(connections: ConnectionSet, days: int) -> None:
    while True:
        try:
            gone = await prune(connections, days)
            if gone:
                log.info("pruned entries=%s", gone)
        except ConnectionLost:
            pass
        await asyncio.sleep(ROUND)
