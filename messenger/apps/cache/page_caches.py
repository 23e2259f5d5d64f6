"""Two page caches: in this process, or in Redis for all processes. Neither fails or delays a request.

Redis may lose everything, answer wrongly or stop at any moment: that is a miss. When it does not answer within 50 ms it
is not asked for a second; then one request tries it, and the others follow when that one was answered.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web
from redis.exceptions import RedisError

from messenger.apps.cache.backends import BoundedMemory, CheckedRedis
from messenger.web.app_keys import CONFIG
from messenger.web.page_cache import PAGE_CACHE

log = logging.getLogger(__name__)

PATIENCE = 0.05
PAUSE = 1.0  # seconds without Redis, after it did not answer
MOST_WAITING = 32  # pages that are still to be written
LOST = (RedisError, OSError, TimeoutError)


class MemoryPageCache:
    def __init__(self, backend: BoundedMemory) -> None:
        self._backend = backend

    async def find(self, name: str) -> bytes | None:
        return await self._backend.get(name)

    async def keep(self, name: str, value: bytes) -> None:
        await self._backend.set(name, value)


class RedisPageCache:
    def __init__(self, backend: CheckedRedis) -> None:
        self._backend = backend
        self._waiting: dict[str, bytes] = {}
        self._has_waiting = asyncio.Event()
        self._is_lost = False
        self._paused_until = 0.0

    async def find(self, name: str) -> bytes | None:
        if self._is_paused:
            return None
        if self._is_lost:
            self._pause()  # this request tries, the others do not wait with it
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._backend.get(key(name))
        except LOST as error:
            self._lose(error)
            return None
        self._is_lost, self._paused_until = False, 0.0
        return found

    async def keep(self, name: str, value: bytes) -> None:
        """Written soon, in the background: the answer does not wait for it."""
        if len(self._waiting) < MOST_WAITING and not self._is_paused:
            self._waiting[key(name)] = value
            self._has_waiting.set()

    async def write(self) -> None:
        """Until cancelled."""
        while True:
            await self._has_waiting.wait()
            self._has_waiting.clear()
            while self._waiting:
                name = next(iter(self._waiting))
                value = self._waiting.pop(name)
                try:
                    async with asyncio.timeout(PATIENCE):
                        await self._backend.set(name, value)
                except LOST as error:
                    self._lose(error)
                    self._waiting.clear()

    async def close(self) -> None:
        with suppress(*LOST):
            await self._backend.close()

    @property
    def _is_paused(self) -> bool:
        return asyncio.get_running_loop().time() < self._paused_until

    def _lose(self, why: Exception) -> None:
        if not self._is_lost:
            log.warning("pages are read without Redis: %s", str(why) or type(why).__name__)
        self._is_lost = True
        self._pause()

    def _pause(self) -> None:
        self._paused_until = asyncio.get_running_loop().time() + PAUSE


def key(name: str) -> str:
    """Of one length, whatever the name holds."""
    return hashlib.sha256(name.encode()).hexdigest()


def setup(root: web.Application) -> None:
    config = root[CONFIG]
    if config.cache_type == "redis":
        root[PAGE_CACHE] = RedisPageCache(CheckedRedis(str(config.redis_url), PATIENCE))
    else:
        root[PAGE_CACHE] = MemoryPageCache(BoundedMemory())


async def context(root: web.Application) -> AsyncIterator[None]:
    cache = root[PAGE_CACHE]
    if not isinstance(cache, RedisPageCache):
        yield
        return
    writing = asyncio.create_task(cache.write(), name="pages")
    yield
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
    await cache.close()
