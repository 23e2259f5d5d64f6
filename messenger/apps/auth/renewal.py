"""A session with an open socket or stream is in use: it is renewed for as long as somebody listens here.

A socket that answers no pings is closed by its heartbeat, so what listens is alive. A session that has run out all the
same (nothing puts its last day off) closes its sockets. One statement per process and period, however many there are.
"""

import asyncio
import logging
from collections.abc import Collection
from typing import Protocol

from messenger.apps.auth.context import AuthContext
from messenger.apps.auth.sessions import touch_step
from messenger.apps.auth.store import sessions as store

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
        except Exception:
            log.exception("sessions were not renewed")
