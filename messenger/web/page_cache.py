"""The page cache, as other sub-apps see it: it keeps answers that cost much to make.

A value may be gone at any time, and its reader checks whether it still holds.
"""

from dataclasses import dataclass
from typing import Protocol

from aiohttp import web


@dataclass(frozen=True, slots=True)
class EncodedPage:
    """A page as it is sent."""

    body: bytes
    tag: str


class PageCache(Protocol):
    """Bytes under names, of bounded size. The `cache` sub-app provides it; without it every answer is made anew."""

    async def find(self, name: str) -> bytes | None: ...
    async def keep(self, name: str, value: bytes) -> None: ...


PAGE_CACHE: web.AppKey[PageCache] = web.AppKey("page_cache")

MOST_SEEN = 50_000


class Seen:
    """Tells a second time from a first: what is asked for once need not be kept. Bounded: two generations."""

    def __init__(self, most: int = MOST_SEEN) -> None:
        self._most = most
        self._young: set[int] = set()
        self._old: set[int] = set()

    def again(self, name: object) -> bool:
        """Was it named here before? Only its hash is kept, so it can be wrong once in a very long time."""
        mark = hash(name)
        if mark in self._young or mark in self._old:
            return True
        self._young.add(mark)
        if len(self._young) > self._most:
            self._young, self._old = set(), self._young
        return False
