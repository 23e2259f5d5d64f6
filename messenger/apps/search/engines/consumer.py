"""Search tasks over RabbitMQ, from the side of those who do them: a few at a time, acknowledged when the row is done.

Only the row of a task gives the right to work on it. A consumer that is delivered a task of another one waits until
that one lets go of it or is done; so a task of a killed consumer is taken up as soon as its lease has run out.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from messenger.apps.search import tasks
from messenger.apps.search.engines import broker
from messenger.apps.search.engines.rabbit import RabbitEngine
from messenger.apps.search.index import Index
from messenger.apps.search.results import Results
from messenger.apps.search.schemas import TakenTask
from messenger.db.database import Database
from messenger.errors import Unavailable
from messenger.identity import MAX_ID

log = logging.getLogger(__name__)

AT_ONCE = 4
LONGEST_ID = len(str(MAX_ID))

Handle = Callable[[AbstractIncomingMessage, int], Coroutine[Any, Any, None]]


class Consumer:
    def __init__(self, urls: Sequence[str], db: Database, results: Results, delay: float) -> None:
        self._urls = urls
        self._db = db
        self._results = results
        self._index = Index(db.connections)
        self._delay = delay
        self._outbox = RabbitEngine(urls, db, results, delay)  # what is put back here must be handed over again
        self._handling: set[asyncio.Task[None]] = set()
        self._working: dict[AbstractIncomingMessage, TakenTask] = {}
        self._is_leaving = False
        self._running: asyncio.Task[NoReturn] | None = None

    def start(self) -> None:
        self._outbox.start()
        self._running = asyncio.create_task(broker.keep(self._urls, self._receive), name="search consumer")

    async def stop(self) -> None:
        """Puts back what was begun and removes its message: the outbox of a process that stays sends a new one."""
        self._is_leaving = True
        left = list(self._handling)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for message, work in self._working.items():
            with suppress(Unavailable):  # then others find out when its time is up
                await tasks.put_back(self._db, work)
                await answer(message.ack())
        if self._running is not None:
            await asyncio.gather(broker.end([self._running]), self._outbox.stop(), self._index.close())

    async def _receive(self, channel: AbstractChannel) -> NoReturn:
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def end(reason: str) -> None:
            if not ended.done():
                ended.set_result(reason)

        channel.close_callbacks.add(lambda *_: end("the channel was closed"))
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: end("the queue was deleted"))
        await channel.set_qos(AT_ONCE)
        for name, handle in ((broker.QUEUE, self._do), (broker.DEAD, self._give_up)):
            queue = await channel.get_queue(name, ensure=False)
            async with asyncio.timeout(broker.CONNECT_TIMEOUT):
                await queue.consume(partial(self._begin, handle))
        raise broker.QueueLost(await ended)

    async def _begin(self, handle: Handle, message: AbstractIncomingMessage) -> None:
        if not self._is_leaving:  # else it goes back when the connection ends
            task = asyncio.create_task(self._handle(handle, message))
            self._handling.add(task)
            task.add_done_callback(self._handling.discard)

    async def _handle(self, handle: Handle, message: AbstractIncomingMessage) -> None:
        task_id = read(message.body)
        if task_id is None:
            log.warning("a message that is no search task is thrown away")
            await answer(message.ack())
            return
        try:
            await handle(message, task_id)
        except Exception as error:
            log.error("a search stumbled task=%s: %s", task_id, error, exc_info=not isinstance(error, Unavailable))
            await answer(message.nack())  # delivered once more, or laid among the dead

    async def _do(self, message: AbstractIncomingMessage, task_id: int) -> None:
        work = await self._taken_up(task_id)
        if work is not None:
            self._working[message] = work
            try:
                await tasks.do(self._db, self._results, self._index, work, self._delay)
            except Exception:
                with suppress(Unavailable):
                    await tasks.give_back(self._db, work)
                del self._working[message]
                raise
            del self._working[message]
        await answer(message.ack())

    async def _taken_up(self, task_id: int) -> TakenTask | None:
        """None: it is over."""
        while True:
            with suppress(Unavailable):
                work = await tasks.claim(self._db, task_id=task_id)
                if work is not None or await tasks.is_over(self._db, task_id):
                    return work
            await asyncio.sleep(tasks.LOOK)

    async def _give_up(self, message: AbstractIncomingMessage, task_id: int) -> None:
        while True:
            with suppress(Unavailable):
                if await tasks.give_up(self._db, task_id):
                    break
            await asyncio.sleep(tasks.LOOK)
        await answer(message.ack())


def read(body: bytes) -> int | None:
    number = int(body) if body.isdigit() and len(body) <= LONGEST_ID else MAX_ID + 1
    return number if number <= MAX_ID else None


async def answer(said: Awaitable[None]) -> None:
    with suppress(*broker.AWAY):  # then it is delivered once more, and found done
        await said
