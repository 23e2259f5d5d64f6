"""Search tasks over RabbitMQ, from the side of those who ask: here nobody works on a task.

The rows are the outbox. A task that nobody holds is handed to the broker, which from then on counts as its holder for a
few seconds, as a worker does; when by then nobody has taken it up, it is handed over again. So nothing depends on what
the broker remembers, and a message that comes twice finds the task held or done.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel

from messenger.apps.search import tasks
from messenger.apps.search.engines import broker
from messenger.apps.search.results import Results
from messenger.db.database import Database
from messenger.errors import Unavailable

log = logging.getLogger(__name__)

CONFIRM_TIMEOUT = 5.0


class RabbitEngine:
    def __init__(self, urls: Sequence[str], db: Database, results: Results, delay: float) -> None:
        self._urls = urls
        self._db = db
        self._results = results
        self._delay = delay
        self._news = asyncio.Event()
        self._running: list[asyncio.Task[NoReturn]] = []

    def start(self) -> None:
        work: list[Coroutine[Any, Any, NoReturn]] = [broker.keep(self._urls, self._publish), self._look_after()]
        self._running = [asyncio.create_task(one, name="search tasks") for one in work]

    async def submit(self, task_id: int) -> None:
        self._news.set()  # nobody who asks waits for the broker

    async def stop(self) -> None:
        await broker.end(self._running)

    async def _publish(self, channel: AbstractChannel) -> NoReturn:
        while True:
            if channel.is_closed:
                raise broker.QueueLost("the channel was closed")
            handed: list[int] = []
            try:
                handed = await tasks.hand_over(self._db, self._delay)
            except Unavailable:
                pass
            except Exception:
                log.exception("no search task could be handed over")
            if handed:
                await self._hand_over(channel, handed)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(tasks.LOOK):
                        await self._news.wait()
                self._news.clear()

    async def _hand_over(self, channel: AbstractChannel, task_ids: list[int]) -> None:
        sent = [self._send(channel, task_id) for task_id in task_ids]
        answers = await asyncio.gather(*sent, return_exceptions=True)
        refused = {task_id: one for task_id, one in zip(task_ids, answers, strict=True) if one is not None}
        if refused:
            with suppress(Unavailable):  # then it lasts until the trust in the broker ends
                await tasks.take_back(self._db, list(refused))
            raise next(iter(refused.values()))

    async def _send(self, channel: AbstractChannel, task_id: int) -> None:
        """Answers when the broker has it on its disk; a queue that is not there is an error as well."""
        message = Message(
            b"%d" % task_id,
            delivery_mode=DeliveryMode.PERSISTENT,
            expiration=tasks.DEADLINE + 2 * self._delay,  # later it is of use to nobody
        )
        await channel.default_exchange.publish(message, broker.QUEUE, mandatory=True, timeout=CONFIRM_TIMEOUT)

    async def _look_after(self) -> NoReturn:
        """What must happen whatever the broker does: every task ends, and is forgotten."""
        swept_at = time.monotonic()
        while True:
            try:
                await tasks.fail_hopeless(self._db, self._delay)
                if time.monotonic() > swept_at + tasks.SWEEP:
                    swept_at = time.monotonic()
                    await tasks.sweep(self._db, self._results)
            except Unavailable:
                pass
            except Exception:
                log.exception("search tasks could not be looked after")
            await asyncio.sleep(tasks.LOOK)
