"""Checks of Redis and RabbitMQ, if the settings name them. The server runs without them, less well, so they are
only shown and decide nothing. Their drivers are imported only if they are named.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from messenger.apps.health.pulse import Beat, Pulse
from messenger.settings import Config

# A probe never waits longer for these: a balancer may give up after a second and send requests elsewhere.
PATIENCE = 0.5
GIVE_UP = 2.0  # seconds until the question itself ends
FRESH = 5.0
ANSWERS, SILENT = Beat(True, "answers"), Beat(False, "does not answer")


def named_in(config: Config) -> dict[str, Pulse]:
    ways: dict[str, Callable[[], Awaitable[Beat]]] = {}
    if config.redis_url:
        ways["redis"] = partial(redis, str(config.redis_url))
    if config.rmq_url:
        ways["rabbitmq"] = partial(rabbitmq, config.rmq_url.each)
    return {name: Pulse(name, ask, patience=PATIENCE, fresh=FRESH) for name, ask in ways.items()}


async def redis(url: str) -> Beat:
    from redis.exceptions import RedisError  # noqa: PLC0415

    try:
        await reach_redis(url, GIVE_UP)
    except (RedisError, OSError, TimeoutError):
        return SILENT
    return ANSWERS


async def rabbitmq(urls: Sequence[str]) -> Beat:
    from aio_pika.exceptions import CONNECTION_EXCEPTIONS  # noqa: PLC0415

    try:
        await reach_rabbitmq(urls, GIVE_UP)
    except (*CONNECTION_EXCEPTIONS, TimeoutError):
        return SILENT
    return ANSWERS


async def reach_redis(url: str, within: float) -> None:
    """Raises an error of the driver if there is no answer within so many seconds."""
    from redis.asyncio import Redis  # noqa: PLC0415

    client: Redis[bytes] = Redis.from_url(url, socket_timeout=within, socket_connect_timeout=within)
    try:
        await client.ping()
    finally:
        with suppress(Exception):
            await client.connection_pool.disconnect()


async def reach_rabbitmq(urls: Sequence[str], within: float) -> None:
    """As with Redis. One of the nodes is enough, and none waits for another."""
    import aio_pika  # noqa: PLC0415

    async def greet(url: str) -> None:
        await (await aio_pika.connect(url)).close()

    greetings = [asyncio.create_task(greet(url)) for url in urls]
    trouble: Exception | None = None
    try:
        async with asyncio.timeout(within):
            for greeting in asyncio.as_completed(greetings):
                try:
                    return await greeting
                except Exception as error:
                    trouble = error
    finally:
        for one in greetings:
            one.cancel()
        await asyncio.gather(*greetings, return_exceptions=True)
    assert trouble is not None
    raise trouble
