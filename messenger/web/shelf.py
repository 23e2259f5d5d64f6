"""A place for answers that are dear to make. What lies there may be gone, and is never believed without a look."""

from typing import Protocol

from aiohttp import web


class Shelf(Protocol):
    """Bytes under names, bounded. Filled by the `cache` sub-app; without it everything is made anew."""

    async def find(self, name: str) -> bytes | None: ...
    async def keep(self, name: str, value: bytes) -> None: ...


SHELF: web.AppKey[Shelf] = web.AppKey("shelf")
