"""Keeps what tasks found until it is fetched: one small port, with PostgreSQL or Redis behind it.

A store may lose everything at any moment. The row of a task says how much must still be there, so a loss is called
one and never an empty result.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from messenger.apps.search.schemas import Match, Result, TakenTask, Task
from messenger.db.database import Transaction
from messenger.settings import Config


class Results(Protocol):
    async def keep(self, tx: Transaction, work: TakenTask, found: Sequence[Match]) -> None:
        """Inside the transaction that calls the task done."""

    async def is_lost(self, tx: Transaction, task: Task) -> bool:
        """Is less there than must be?"""

    async def choose(self, tx: Transaction, task: Task, start: int, limit: int) -> list[Result]:
        """What could be fetched; it stays."""

    async def take(self, tx: Transaction, task: Task, chosen: Sequence[Result]) -> list[Result]:
        """Which of these were there and are removed now: nobody else can ever show them."""

    async def put_back(self, task: Task, taken: Sequence[Result]) -> None:
        """The transaction in which they were taken has failed: nobody has seen them."""

    async def forget(self, tx: Transaction, tasks: Collection[Task]) -> None:
        """These tasks are no more."""

    async def close(self) -> None: ...


def make(config: Config) -> Results:
    """Redis when the settings name one; its driver is imported only then."""
    if config.redis_url:
        from messenger.apps.search.results.redis import RedisResults  # noqa: PLC0415

        return RedisResults(str(config.redis_url))
    from messenger.apps.search.results.postgres import PostgresResults  # noqa: PLC0415

    return PostgresResults()
