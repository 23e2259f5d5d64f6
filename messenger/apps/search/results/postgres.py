"""Results in an unlogged table: they share the transaction of their task, and a crash of the database empties it."""

from collections.abc import Collection, Sequence

from messenger.apps.search import store
from messenger.apps.search.schemas import Found, Result, Task, Work
from messenger.db.engine import Transaction


class PostgresResults:
    async def keep(self, tx: Transaction, work: Work, found: Sequence[Found]) -> None:
        await store.keep_results(tx, work.task_id, found)

    async def is_lost(self, tx: Transaction, task: Task) -> bool:
        return await store.is_anything_lost(tx, task.task_id)

    async def choose(self, tx: Transaction, task: Task, start: int, limit: int) -> list[Result]:
        return await store.choose_results(tx, task.task_id, start, limit)

    async def take(self, tx: Transaction, task: Task, chosen: Sequence[Result]) -> list[Result]:
        await store.take_results(tx, task.task_id, [one.place for one in chosen])
        return list(chosen)  # chosen were those that nobody else holds

    async def put_back(self, task: Task, taken: Sequence[Result]) -> None:
        """Nothing was committed, so they are where they were."""

    async def forget(self, tx: Transaction, tasks: Collection[Task]) -> None:
        await store.forget_results(tx, [one.task_id for one in tasks])

    async def close(self) -> None: ...
