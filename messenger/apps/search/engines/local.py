"""Works on tasks inside the server. Every process does, and the rows of the tasks say who has which."""

import asyncio
import logging
import time
from contextlib import suppress

from messenger.apps.search import tasks
from messenger.apps.search.index import Index
from messenger.apps.search.results import Results
from messenger.apps.search.schemas import TakenTask
from messenger.db.database import Database
from messenger.errors import Unavailable

log = logging.getLogger(__name__)

AT_ONCE = 4


class LocalEngine:
    def __init__(self, db: Database, results: Results, index: Index, delay: float) -> None:
        self._db = db
        self._results = results
        self._index = index
        self._delay = delay
        self._news = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._working: dict[asyncio.Task[None], TakenTask] = {}
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = asyncio.create_task(self._run(), name="search tasks")

    async def submit(self, task_id: int) -> None:
        self._news.set()

    async def stop(self) -> None:
        left = dict(self._working)
        everybody = [*left, self._running] if self._running is not None else [*left]
        for task in everybody:
            task.cancel()
        await asyncio.gather(*everybody, return_exceptions=True)
        for work in left.values():
            with suppress(Unavailable):  # then others find out when its time is up
                await tasks.put_back(self._db, work)

    async def _run(self) -> None:
        swept_at = time.monotonic()
        while True:
            await self._slots.acquire()
            work = None
            try:
                if time.monotonic() > swept_at + tasks.SWEEP:
                    swept_at = time.monotonic()
                    await tasks.sweep(self._db, self._results)
                work = await tasks.take_up(self._db, self._delay)
            except Unavailable:
                pass
            except Exception:
                log.exception("no search task could be taken up")
            if work is None:
                self._slots.release()
                with suppress(TimeoutError):
                    async with asyncio.timeout(tasks.LOOK):
                        await self._news.wait()
                self._news.clear()
            else:
                task = asyncio.create_task(self._do(work))
                self._working[task] = work
                task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        del self._working[task]
        self._slots.release()

    async def _do(self, work: TakenTask) -> None:
        try:
            await tasks.do(self._db, self._results, self._index, work, self._delay)
        except Exception as error:
            trace = not isinstance(error, Unavailable)
            log.error("a search stumbled task=%s attempt=%s: %s", work.task_id, work.attempt, error, exc_info=trace)
            with suppress(Unavailable):
                await tasks.give_back(self._db, work)
