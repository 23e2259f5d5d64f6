"""Questions that come while the database is being asked are put to it together, in the next statement.

Each statement wakes a process of PostgreSQL and is woken by it, which takes longer than most answers. Who comes first
waits for nobody.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

TURNS = 3  # of the loop, between two statements: the answers leave, then who came meanwhile is read, then they ask

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Together(Generic[Question, Answer]):
    def __init__(self, ask: Callable[[list[Question]], Awaitable[Sequence[Answer]]], most: int = sys.maxsize) -> None:
        """`ask` answers so many questions at a time, in their order."""
        self._ask = ask
        self._most = most
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def answer(self, question: Question) -> Answer:
        """It is asked from now on, never before."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._asking is None:
            self._asking = asyncio.create_task(self._keep_asking())
        return await future

    async def _keep_asking(self) -> None:
        """As long as somebody waits. Who has left is passed over; a failure is told to all who were asked for."""
        try:
            while self._waiting:
                some, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                failure: Exception | None = None
                answers: Sequence[Answer] = ()
                try:
                    answers = await self._ask([question for question, _ in some])
                except Exception as error:
                    failure = error
                for number, (_, future) in enumerate(some):
                    if future.done():
                        continue
                    if failure is None:
                        future.set_result(answers[number])
                    else:
                        future.set_exception(failure)
                for _ in range(TURNS):
                    await asyncio.sleep(0)
        finally:
            self._asking = None

    async def stop(self) -> None:
        """When the connections are closed: those who still wait are told so."""
        if self._asking is not None:
            await asyncio.wait({self._asking})
