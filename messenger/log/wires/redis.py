"""Doorbells by Redis Pub/Sub, for many machines. When Redis loses some, events come later."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis import asyncio as redis
from redis.exceptions import RedisError

from messenger.log.wires.retrying import RetryingWire, Works

CHANNEL = "messenger:log"


class RedisWire(RetryingWire):
    failures = (RedisError, OSError, TimeoutError)

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._name = os.urandom(6).hex().encode()  # a process ignores its own messages

    def _works(self) -> Works:
        return self._speak, self._listen

    @asynccontextmanager
    async def _connected(self) -> "AsyncIterator[redis.Redis[bytes]]":
        client: redis.Redis[bytes] = redis.from_url(self._url, socket_timeout=None, socket_connect_timeout=2)
        try:
            yield client
        finally:
            # close() alone leaves the connection that is in use when this task is cancelled
            with suppress(Exception):
                await client.connection_pool.disconnect(inuse_connections=True)

    async def _speak(self) -> None:
        async with self._connected() as client:

            async def publish(message: bytes) -> None:
                async with asyncio.timeout(2):
                    await client.publish(CHANNEL, self._name + message)

            while True:
                await self._news.wait()
                self._news.clear()
                await self._send_waiting(publish)

    async def _listen(self) -> None:
        async with self._connected() as client, client.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(CHANNEL)
            self._on_ring(0)  # doorbells rung meanwhile are lost: fetch
            async for message in channel.listen():
                if not message["data"].startswith(self._name):
                    self._hear(message["data"][len(self._name) :])
