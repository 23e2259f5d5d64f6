"""Notices a database that is connected and silent: its process stands still, or the network drops every packet.

TCP would notice after minutes, and each statement would wait for its own deadline. So one connection sends `select 1`
all the time. When no answer comes, every connection of this process is closed, their callers fail at once, and new
calls are refused until an answer comes again. A slow statement is left alone while the database answers.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from messenger.db.driver import FAILED, Connection, connect

log = logging.getLogger(__name__)

BEAT = 0.25
PATIENCE = 0.75  # with the beat a second, as the contract promises
SLICE = 0.125
AGAIN = 0.1


class Liveness:
    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connections: WeakSet[Connection] = WeakSet()
        self._task: asyncio.Task[None] | None = None
        self.is_silent = False
        self.silences = 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="database watch")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def admit(self, connection: Connection) -> None:
        """This one is closed as well when the database falls silent."""
        self._connections.add(connection)

    def refuse_silence(self) -> None:
        """Called before anything waits for the database."""
        if self.is_silent:
            raise ConnectionError("the database is silent")

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except TimeoutError:
                self._fall_silent()
            except FAILED:  # gone, or it refuses us: every other connection finds that out by itself
                self.is_silent = False
            await asyncio.sleep(AGAIN)

    async def _listen(self) -> None:
        settings = {"application_name": "messenger watch"}
        connection = await connect(self._dsn, server_settings=settings)
        try:
            while True:
                question = asyncio.ensure_future(connection.fetchval("select 1"))
                question.add_done_callback(lambda one: one.cancelled() or one.exception())
                await self._answer(question)
                if self.is_silent:
                    log.warning("the database answers again")
                    self.is_silent = False
                await asyncio.sleep(BEAT)
        finally:
            connection.terminate()

    async def _answer(self, question: "asyncio.Future[int]") -> None:
        silent = 0.0
        while silent < PATIENCE:
            before = asyncio.get_running_loop().time()
            done, _ = await asyncio.wait({question}, timeout=SLICE)
            if done:
                question.result()
                return
            # When the loop itself is late, the answer may be here and unread.
            late = asyncio.get_running_loop().time() - before - SLICE
            silent += SLICE if late < SLICE else 0
        raise TimeoutError

    def _fall_silent(self) -> None:
        if not self.is_silent:
            self.is_silent = True
            self.silences += 1
            log.warning("the database is silent: %s connections are cut", len(self._connections))
        for connection in list(self._connections):
            connection.terminate()
        self._connections.clear()


async def connect_watched(liveness: Liveness | None, dsn: str, **options: Any) -> Connection:
    if liveness is None:
        return await connect(dsn, **options)
    liveness.refuse_silence()
    connection = await connect(dsn, **options)
    liveness.admit(connection)
    return connection
