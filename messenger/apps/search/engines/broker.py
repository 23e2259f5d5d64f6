"""The connection to RabbitMQ, made anew whenever it breaks, and the two queues of search tasks.

A message is the number of a task and nothing else: what there is to do, and whether, says the row.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

import aio_pika
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

log = logging.getLogger(__name__)

QUEUE = "messenger.search"
DEAD = "messenger.search.dead"  # tasks that were delivered three times and done by nobody
REDELIVERIES = 2
DEAD_FOR = 3600  # seconds until a dead letter that nobody read is nobody's concern any more
CONNECT_TIMEOUT = 5.0
HEARTBEAT = 5  # seconds; three without an answer, and the line is dead
RETRY = 0.5
AWAY = (*CONNECTION_EXCEPTIONS, TimeoutError)


class QueueLost(ConnectionError):
    """The connection stands, but what was declared over it is gone."""


async def keep(url: str, use: Callable[[AbstractChannel], Awaitable[NoReturn]]) -> NoReturn:
    """A channel with both queues, again and again: `use` ends by raising when they are not to be had any more."""
    trouble = ""
    while True:
        try:
            connection = await aio_pika.connect(url, timeout=CONNECT_TIMEOUT, heartbeat=HEARTBEAT)
            async with connection:
                channel = await connection.channel()
                await declare(channel)
                if trouble:
                    log.warning("RabbitMQ is there again")
                    trouble = ""
                await use(channel)
        except AWAY as error:
            said = f"{type(error).__name__}: {error}"
            if said != trouble:  # once, not at every try
                log.warning("RabbitMQ is away, search tasks wait: %s", said)
            trouble = said
        await asyncio.sleep(RETRY)


async def declare(channel: AbstractChannel) -> None:
    await channel.declare_queue(
        DEAD, durable=True, arguments={"x-queue-type": "quorum", "x-message-ttl": DEAD_FOR * 1000}
    )
    await channel.declare_queue(
        QUEUE,
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": REDELIVERIES,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": DEAD,
        },
    )
