"""How many live connections one person may hold here: sockets, streams and polls together, per process."""

from collections import Counter

from aiohttp import web

from messenger.errors import TooManyRequests
from messenger.web.keys import CONFIG

SEATS: web.AppKey[Counter[int]] = web.AppKey("seats", Counter)
RETRY = 60.0


def setup(root: web.Application) -> None:
    root.setdefault(SEATS, Counter())


class seat:  # noqa: N801  (reads as a word in `with seats.seat(…):`)
    """Taken before anything is awaited, so that many at once are counted too. A live connection holds it all its life,
    so it is small."""

    __slots__ = ("_most", "_taken", "_user_id")

    def __init__(self, root: web.Application, user_id: int) -> None:
        self._most = root[CONFIG].max_sockets_per_user
        self._taken = root[SEATS]
        self._user_id = user_id

    def __enter__(self) -> None:
        if self._taken[self._user_id] >= self._most:
            raise TooManyRequests("This person has too many live connections.", retry_after=RETRY)
        self._taken[self._user_id] += 1

    def __exit__(self, *_: object) -> None:
        self._taken[self._user_id] -= 1
        if not self._taken[self._user_id]:
            del self._taken[self._user_id]
