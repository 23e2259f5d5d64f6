"""How many live connections one person may hold here: sockets, streams and polls together, per process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from messenger.errors import TooManyRequests
from messenger.web.keys import CONFIG

SEATS: web.AppKey[Counter[int]] = web.AppKey("seats", Counter)
RETRY = 60.0


def setup(root: web.Application) -> None:
    root.setdefault(SEATS, Counter())


@contextmanager
def seat(root: web.Application, user_id: int) -> Iterator[None]:
    """Taken before anything is awaited, so that many at once are counted too."""
    taken = root[SEATS]
    if taken[user_id] >= root[CONFIG].max_sockets_per_user:
        raise TooManyRequests("This person has too many live connections.", retry_after=RETRY)
    taken[user_id] += 1
    try:
        yield
    finally:
        taken[user_id] -= 1
        if not taken[user_id]:
            del taken[user_id]
