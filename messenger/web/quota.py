"""How many live connections one person may hold here: sockets, streams and polls together, per process."""

from collections import Counter

from aiohttp import web

from messenger.errors import TooManyRequests
from messenger.web.app_keys import CONFIG

CONNECTIONS_HELD: web.AppKey[Counter[int]] = web.AppKey("connections_held", Counter)
RETRY = 60.0


def setup(root: web.Application) -> None:
    root.setdefault(CONNECTIONS_HELD, Counter())


class ConnectionQuota:
    """Held by one live connection all its life, so it is small. Taken before anything is awaited, so that many at once
    are counted too."""

    __slots__ = ("_held", "_most", "_user_id")

    def __init__(self, root: web.Application, user_id: int) -> None:
        self._most = root[CONFIG].max_sockets_per_user
        self._held = root[CONNECTIONS_HELD]
        self._user_id = user_id

    def __enter__(self) -> None:
        if self._held[self._user_id] >= self._most:
            raise TooManyRequests("This person has too many live connections.", retry_after=RETRY)
        self._held[self._user_id] += 1

    def __exit__(self, *_: object) -> None:
        self._held[self._user_id] -= 1
        if not self._held[self._user_id]:
            del self._held[self._user_id]
