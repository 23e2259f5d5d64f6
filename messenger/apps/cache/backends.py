"""aiohttp-cache's two backends, made safe: values are bytes and nothing else, bounded, and never unpickled.

Its middleware is not used: it checks neither the reader nor what has happened since. Our pages do (messages/memory.py).
"""

import hashlib
import time
from collections import OrderedDict

from aiohttp_cache import MemoryCache, RedisCache, RedisConfig
from redis.asyncio import BlockingConnectionPool, Redis

MOST_BYTES = 64 << 20  # of a process
LARGEST = 1 << 20
LIFETIME = 600  # seconds; whether a page still holds is decided by the log, long before
PREFIX = "messenger:pages:1:"  # the number changes with the form of the values
CHECK = 16
CONNECTIONS = 16


class BoundedMemory(MemoryCache):
    """Drops the least recently used first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        super().__init__(expiration=LIFETIME)
        self._most_bytes = most_bytes
        self._cache: OrderedDict[str, tuple[bytes, int]] = OrderedDict()  # type: ignore[assignment]
        self.bytes = 0

    async def get(self, key: str) -> bytes | None:  # type: ignore[override]
        found: bytes | None = await super().get(key)
        if found is not None:
            self._cache.move_to_end(key)
        return found

    async def set(self, key: str, value: bytes, expires: int = LIFETIME) -> None:  # type: ignore[override]
        self._drop(key)
        if len(value) > LARGEST:
            return
        await super().set(key, value, expires)  # type: ignore[arg-type]
        self.bytes += len(value)
        while self.bytes > self._most_bytes:
            self._drop(next(iter(self._cache)))

    async def delete(self, key: str) -> None:
        self._drop(key)

    async def clear(self) -> None:
        self._cache.clear()
        self.bytes = 0

    def _update_expiration_key(self, key: str) -> None:
        kept = self._cache.get(key)
        if kept is not None and kept[1] < time.time():
            self._drop(key)

    def _drop(self, key: str) -> None:
        value, _ = self._cache.pop(key, (b"", 0))
        self.bytes -= len(value)


class CheckedRedis(RedisCache):
    """Returns exactly what was kept under this key, or nothing."""

    def __init__(self, url: str, patience: float) -> None:
        super().__init__(RedisConfig(key_prefix=PREFIX), expiration=LIFETIME)
        # The stock client knows no TLS, no user names and no deadlines, and makes as many connections as are asked for.
        pool = BlockingConnectionPool.from_url(
            url, max_connections=CONNECTIONS, timeout=patience, socket_timeout=patience, socket_connect_timeout=patience
        )
        self._redis_pool = Redis(connection_pool=pool)

    async def get(self, key: str) -> bytes | None:  # type: ignore[override]
        found: bytes | None = await super().get(key)
        if found is None or found[:CHECK] != check(key, found[CHECK:]):
            return None
        return found[CHECK:]

    async def set(self, key: str, value: bytes, expires: int = LIFETIME) -> None:  # type: ignore[override]
        if len(value) <= LARGEST:
            await super().set(key, check(key, value) + value, expires)  # type: ignore[arg-type]

    async def close(self) -> None:
        await self._redis_pool.connection_pool.disconnect(inuse_connections=True)

    @staticmethod
    def dump_object(value: bytes) -> bytes:  # type: ignore[override]
        return value

    def load_object(self, value: bytes | None = None) -> bytes | None:  # type: ignore[override]
        return value


def check(key: str, value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=CHECK, key=key.encode()).digest()
