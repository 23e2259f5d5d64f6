"""The page cache, as other sub-apps see it: it keeps answers that cost much to make.

A value may be gone at any time, and its reader checks whether it still holds.
"""

from typing import Protocol

from aiohttp import web


class PageCache(Protocol):
    """Bytes under names, of bounded size. The `cache` sub-app provides it; without it every answer is made anew."""

    async def find(self, name: str) -> bytes | None: ...
    async def keep(self, name: str, value: bytes) -> None: ...


PAGE_CACHE: web.AppKey[PageCache] = web.AppKey("page_cache")
