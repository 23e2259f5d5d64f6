"""Rows that nobody will ask for again are deleted, now and then, by every worker at its own time."""

import asyncio
import logging
import random

from messenger.apps.auth.store import failures, sessions, tokens
from messenger.db.database import Database

log = logging.getLogger(__name__)

EVERY = 3600.0
KEPT = 30 * 24 * 3600.0  # seconds that an ended session still answers `session-revoked`
AT_ONCE = 1000


async def sweep(db: Database) -> None:
    async with db.reading() as tx:
        await tokens.sweep_tickets(tx)
        await tokens.sweep_links(tx)
        await failures.sweep_failures(tx)
        await tokens.sweep_refresh_tokens(tx)
        await sessions.sweep_sessions(tx, KEPT, AT_ONCE)


async def keep_sweeping(db: Database) -> None:
    while True:
        await asyncio.sleep(EVERY * random.uniform(0.5, 1.5))  # workers started together do not sweep together
        try:
            await sweep(db)
        except Exception:
            log.exception("sweep failed")
