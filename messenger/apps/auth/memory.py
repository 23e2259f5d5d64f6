"""Sessions that were valid a moment ago: their row is not read again while the log has no news of their person.

Every answer waits until this process has followed the log to a head that was read after the request arrived, so a
session that ended anywhere is not found. (A send does not wait: its own transaction checks.) What the log does not tell
(last seen, expiry) is believed for a short time only. Bounded: two generations.
"""

import time
from dataclasses import dataclass

from messenger.db.connection import ConnectionLost
from messenger.identity import Identity
from messenger.log.entries import Cursor
from messenger.log.log import Log

MOST = 20_000


@dataclass(frozen=True, slots=True)
class KnownSession:
    identity: Identity
    cursor: Cursor
    until: float


class SessionMemory:
    def __init__(self, log: Log, most: int = MOST) -> None:
        self._log = log
        self._most = most
        self._young: dict[object, KnownSession] = {}
        self._old: dict[object, KnownSession] = {}

    @property
    def cursor(self) -> Cursor:
        return self._log.followed_to

    async def find(self, name: object, arrived_at: float, *, rechecked: bool = False) -> KnownSession | None:
        """`rechecked`: the request checks the session in its own transaction."""
        known = self._young.get(name) or self._old.get(name)
        if known is None or known.until < time.monotonic():
            return None
        try:
            if not rechecked:
                await self._log.barrier(arrived_at)
        except ConnectionLost:
            return None  # reading the row will say what is wrong
        if self._log.is_quiet(known.cursor, user_id=known.identity.user_id):
            return known
        self._young.pop(name, None)
        self._old.pop(name, None)
        return None

    def keep(self, name: object, identity: Identity, cursor: Cursor, seconds: float) -> KnownSession:
        """`cursor`: where the log stood before the row was read."""
        known = self._young[name] = KnownSession(identity, cursor, time.monotonic() + seconds)
        if len(self._young) > self._most:
            self._young, self._old = {}, self._young
        return known
