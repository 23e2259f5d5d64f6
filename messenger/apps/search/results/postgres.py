"""Results in an unlogged table: they share the transaction of their task, and a crash of the database empties it."""

from collections.abc import Collection, Sequence

from messenger.apps.search.schemas import Match, Result, Task, Work
from messenger.db.database import Transaction
from messenger.db.statements import text

KEEP = """
    insert into search_results (task_id, place, chat_id, message_id)
    select :task, f.place, f.chat, f.message
      from unnest(cast(:chats as bigint[]), cast(:messages as bigint[])) with ordinality f(chat, message, place)
"""
# What is not there any more after a crash is not called an empty result.
IS_LOST = """
    select hits > (select count(*) from search_results where task_id = :task) from search_tasks where id = :task
"""
# Who chooses at the same time gets others.
CHOOSE = """
    select place, chat_id, message_id from search_results where task_id = :task and place >= cast(:start as bigint)
     order by place limit :limit for update skip locked
"""
TAKE = """
    with taken as (
        delete from search_results where task_id = :task and place = any(cast(:places as int[])) returning 1)
    update search_tasks set hits = hits - (select count(*) from taken) where id = :task
"""
FORGET = "delete from search_results where task_id = any(cast(:tasks as bigint[]))"


class PostgresResults:
    async def keep(self, tx: Transaction, work: Work, found: Sequence[Match]) -> None:
        chats, messages = [one.chat_id for one in found], [one.message_id for one in found]
        await tx.session.execute(text(KEEP), {"task": work.task_id, "chats": chats, "messages": messages})

    async def is_lost(self, tx: Transaction, task: Task) -> bool:
        return bool((await tx.session.execute(text(IS_LOST), {"task": task.task_id})).scalar_one_or_none())

    async def choose(self, tx: Transaction, task: Task, start: int, limit: int) -> list[Result]:
        rows = await tx.session.execute(text(CHOOSE), {"task": task.task_id, "start": start, "limit": limit})
        return [Result(row.place, row.chat_id, row.message_id) for row in rows]

    async def take(self, tx: Transaction, task: Task, chosen: Sequence[Result]) -> list[Result]:
        await tx.session.execute(text(TAKE), {"task": task.task_id, "places": [one.place for one in chosen]})
        return list(chosen)  # chosen were those that nobody else holds

    async def put_back(self, task: Task, taken: Sequence[Result]) -> None:
        """Nothing was committed, so they are where they were."""

    async def forget(self, tx: Transaction, tasks: Collection[Task]) -> None:
        await tx.session.execute(text(FORGET), {"tasks": [one.task_id for one in tasks]})

    async def close(self) -> None: ...
