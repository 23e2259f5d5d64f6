"""Checks of Redis and RabbitMQ, if the settings name them. The server runs without them, less well, so they are
only shown and decide nothing. Their drivers are imported only if they are named.
"""

import asyncio
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
    ways = {"redis": (str(config.redis_url), redis), "rabbitmq": (str(config.rmq_url), rabbitmq)}
    return {
        name: Pulse(name, partial(ask, url), patience=PATIENCE, fresh=FRESH) for name, (url, ask) in ways.items() if url
    }


async def redis(url: str) -> Beat:
    from redis.exceptions import RedisError  # noqa: PLC0415

    try:
        await reach_redis(url, GIVE_UP)
    except (RedisError, OSError, TimeoutError):
        return SILENT
    return ANSWERS


async def rabbitmq(url: str) -> Beat:
    from aio_pika.exceptions import CONNECTION_EXCEPTIONS  # noqa: PLC0415

    try:
        await reach_rabbitmq(url, GIVE_UP)
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


async def reach_rabbitmq(url: str, within: float) -> None:
    """As with Redis."""
    import aio_pika  # noqa: PLC0415

    async with asyncio.timeout(within):
        await (await aio_pika.connect(url)).close()
