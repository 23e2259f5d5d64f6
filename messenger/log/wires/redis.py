"""Doorbells by Redis Pub/Sub, for many machines. Redis may lose everything at any moment: only later, never wrong."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis import asyncio as redis
from redis.exceptions import RedisError

from messenger.log.wires.mended import MendedWire, Works

CHANNEL = "messenger:log"


class RedisWire(MendedWire):
    failures = (RedisError, OSError, TimeoutError)

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._name = os.urandom(6).hex().encode()  # what this process says is no news to it

    def _works(self) -> Works:
        return self._speak, self._listen

    @asynccontextmanager
    async def _connected(self) -> "AsyncIterator[redis.Redis[bytes]]":
        client: redis.Redis[bytes] = redis.from_url(self._url, socket_timeout=None, socket_connect_timeout=2)
        try:
            yield client
        finally:
            # close() alone leaves the connection that was in use when this task was cancelled
            with suppress(Exception):
                await client.connection_pool.disconnect(inuse_connections=True)

    async def _speak(self) -> None:
        async with self._connected() as client:

            async def publish(told: bytes) -> None:
                async with asyncio.timeout(2):
                    await client.publish(CHANNEL, self._name + told)

            while True:
                await self._news.wait()
                self._news.clear()
                await self._tell(publish)

    async def _listen(self) -> None:
        async with self._connected() as client, client.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(CHANNEL)
            self._on_ring(0)  # what was rung while nobody listened is lost: look for yourself
            async for message in channel.listen():
                name, told = message["data"][: len(self._name)], message["data"][len(self._name) :]
                if name != self._name:
                    self._hear(told)
