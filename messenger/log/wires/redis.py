"""Doorbells by Redis Pub/Sub, for many machines. Redis may lose everything at any moment: only later, never wrong."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from redis import asyncio as redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

CHANNEL = "messenger:log"
MOST_NOTES = 1000
RETRY = 0.25


class RedisWire:
    def __init__(self, url: str) -> None:
        self._url = url
        self.rung = 0
        self.heard = 0
        self._furthest = 0
        self._rung = 0
        self._notes: deque[bytes] = deque(maxlen=MOST_NOTES)
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._name = os.urandom(6).hex().encode()  # what this process says is no news to it
        self._on_ring: Callable[[int], None] = lambda position: None
        self._on_note: Callable[[bytes], None] = lambda note: None

    async def start(self, ring: Callable[[int], None], note: Callable[[bytes], None]) -> None:
        self._on_ring, self._on_note = ring, note
        self._tasks = [asyncio.create_task(self._mended(self._speak)), asyncio.create_task(self._mended(self._listen))]

    def ring(self, position: int) -> None:
        self._furthest = max(self._furthest, position)
        self._news.set()

    def say(self, note: bytes) -> None:
        self._notes.append(note)
        self._news.set()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _mended(self, work: Callable[["redis.Redis[bytes]"], object]) -> None:
        while True:
            client: redis.Redis[bytes] = redis.from_url(self._url, socket_timeout=None, socket_connect_timeout=2)
            try:
                await work(client)  # type: ignore[misc]
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("the wire is cut and will be mended: %s", error)
            finally:
                # close() alone leaves the connection that was in use when this task was cancelled
                with suppress(Exception):
                    await client.connection_pool.disconnect(inuse_connections=True)
            await asyncio.sleep(RETRY)

    async def _speak(self, client: "redis.Redis[bytes]") -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if self._furthest > self._rung:
                furthest = self._furthest
                self.rung += 1
                await self._publish(client, b"r%d" % furthest)
                self._rung = furthest
            while self._notes:
                await self._publish(client, b"n" + self._notes.popleft())

    async def _publish(self, client: "redis.Redis[bytes]", words: bytes) -> None:
        async with asyncio.timeout(2):
            await client.publish(CHANNEL, self._name + words)

    async def _listen(self, client: "redis.Redis[bytes]") -> None:
        async with client.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(CHANNEL)
            self._on_ring(0)  # what was rung while nobody listened is lost: look for yourself
            async for message in channel.listen():
                self._heard(message["data"])

    def _heard(self, data: bytes) -> None:
        name, words = data[: len(self._name)], data[len(self._name) :]
        if name == self._name:
            return
        if words.startswith(b"n"):
            self._on_note(words[1:])
        elif words[1:].isdigit():
            self.heard += 1
            self._on_ring(int(words[1:]))
