"""Renews sessions that have an open socket or stream in this process, as they are in use.

The heartbeat closes a socket that answers no pings, so every listener is alive. A session that has expired all the same
(its last day is never put off) has its sockets closed. One statement per process and period for all sessions.
"""

import asyncio
import logging
from collections.abc import Collection
from typing import Protocol

from messenger.apps.auth.context import AuthContext
from messenger.apps.auth.sessions import touch_step
from messenger.apps.auth.store import sessions as store
from messenger.errors import Unavailable

log = logging.getLogger(__name__)

LONGEST_PERIOD = 60.0


class Listeners(Protocol):
    def sessions(self) -> Collection[int]: ...
    def end_sessions(self, ended: Collection[int]) -> None: ...


async def renew(auth: AuthContext, listeners: Listeners) -> None:
    present = listeners.sessions()
    if not present:
        return
    async with auth.db.reading() as tx:
        still_open = await store.renew_sessions(tx, present, auth.rules.token_lifetime, touch_step(auth))
    listeners.end_sessions(set(present) - still_open)


async def keep_renewing(auth: AuthContext, listeners: Listeners) -> None:
    period = min(LONGEST_PERIOD, auth.rules.token_lifetime / 4)
    while True:
        await asyncio.sleep(period)
        try:
            await renew(auth, listeners)
        except Unavailable:
            log.warning("sessions were not renewed: the database is away")
        except Exception:
            log.exception("sessions were not renewed")
