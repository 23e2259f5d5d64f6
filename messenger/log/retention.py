"""Old entries go after LOG_RETENTION_DAYS, in small steps; a cursor older than what is kept is told so by name."""

import asyncio
import logging
from datetime import timedelta

from messenger.db.connection import ConnectionLost, ConnectionSet

log = logging.getLogger(__name__)

ROUND = 3600.0
STEP = 5000
PRUNE = "select log_prune(clock_timestamp() - $1::interval, $2) as gone"


async def prune(lines: ConnectionSet, days: int) -> int:
    """One round; how many entries went."""
    gone = 0
    while step := (await lines.row(PRUNE, timedelta(days=days), STEP))["gone"]:
        gone += step
        await asyncio.sleep(0)  # a long round is made of short locks
    return gone


async def keep_pruning(lines: ConnectionSet, days: int) -> None:
    while True:
        try:
            gone = await prune(lines, days)
            if gone:
                log.info("pruned entries=%s", gone)
        except ConnectionLost:
            pass
        await asyncio.sleep(ROUND)
