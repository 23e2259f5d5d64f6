"""The connection to RabbitMQ, made anew whenever it breaks, and the two queues of search tasks.

A message is the number of a task and nothing else: what there is to do, and whether, says the row.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from typing import NoReturn

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelPreconditionFailed, DeliveryError

log = logging.getLogger(__name__)

QUEUE = "messenger.search"
DEAD = "messenger.search.dead"  # tasks that were delivered three times and done by nobody
REDELIVERIES = 2
DEAD_FOR = 3600  # seconds until a dead letter that nobody read is nobody's concern any more
REPLICAS = 3  # or as many nodes as there are
REPLICATED: dict[str, str | int] = {"x-queue-type": "quorum", "x-quorum-initial-group-size": REPLICAS}
QUEUES: dict[str, dict[str, str | int]] = {
    DEAD: {**REPLICATED, "x-message-ttl": DEAD_FOR * 1000},
    QUEUE: {
        **REPLICATED,
        "x-delivery-limit": REDELIVERIES,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": DEAD,
    },
}
CONNECT_TIMEOUT = 5.0
HEARTBEAT = 5  # seconds; three without an answer, and the line is dead
RETRY = 0.5
DEAF = 2  # times in a row that a queue which is there answered nothing; then it is made anew
REMAKE_TIMEOUT = 20.0
GOODBYE = 2.0
AWAY = (*CONNECTION_EXCEPTIONS, TimeoutError)


class QueueLost(ConnectionError):
    """The connection stands, but what was declared over it is gone."""


async def keep(urls: Sequence[str], use: Callable[[AbstractChannel], Awaitable[NoReturn]]) -> NoReturn:
    """A channel with both queues, again and again, on one node after the other: `use` ends by raising when they are not
    to be had any more.
    """
    trouble, deaf, places = "", 0, cycle(urls)
    while True:
        is_there = False
        try:
            async with _connected(next(places)) as connection:
                channel = await _declared(connection)
                is_there = True
                if deaf >= DEAF:
                    deaf = 0
                    log.warning("RabbitMQ has the queues of search tasks and does not serve them: they are made anew")
                    await remake(channel)
                if trouble:
                    log.warning("RabbitMQ is there again")
                    trouble = ""
                await use(channel)
        except Exception as error:
            deaf = deaf + 1 if is_there and isinstance(error, (TimeoutError, DeliveryError)) else 0
            said = f"{type(error).__name__}: {error}"
            if said != trouble:  # once, not at every try
                expected = isinstance(error, AWAY)
                log.warning("RabbitMQ is away, search tasks wait: %s", said, exc_info=not expected)
            trouble = said
        await asyncio.sleep(RETRY)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AbstractConnection]:
    connection = await aio_pika.connect(url, timeout=CONNECT_TIMEOUT, heartbeat=HEARTBEAT)
    try:
        yield connection
    finally:
        with suppress(*AWAY):  # a broker that stands still does not say good-bye
            async with asyncio.timeout(GOODBYE):
                await connection.close()


async def _declared(connection: AbstractConnection) -> AbstractChannel:
    channel = await connection.channel()
    for name in QUEUES:
        try:
            await declare(channel, name)
        except ChannelPreconditionFailed:
            # Another version made it, with other arguments. It serves as well; to delete it under those who listen
            # there could leave them deaf.
            channel = await connection.channel()  # the error has closed the other one
    return channel


async def end(tasks: Collection[asyncio.Task[NoReturn]]) -> None:
    """Said again until it is heard: up to Python 3.11 a wait inside the driver may answer a cancellation with what went
    wrong at that very moment, and `keep` would go on for ever.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=2 * GOODBYE)


async def remake(channel: AbstractChannel) -> None:
    """A quorum queue may come out of a crash of its broker without ever finding its leader again, and then takes and
    gives nothing. Tasks are rows, so nothing is lost with it.
    """
    async with asyncio.timeout(REMAKE_TIMEOUT):
        for name in QUEUES:
            await channel.queue_delete(name)
        for name in QUEUES:
            await declare(channel, name)


async def declare(channel: AbstractChannel, name: str) -> None:
    await channel.declare_queue(name, durable=True, arguments={**QUEUES[name]})
