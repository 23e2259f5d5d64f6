"""The statements about search tasks: one function, one statement.

Their clock is the database's, the same for all who work on them.
"""

from collections.abc import Sequence
from typing import Any

from messenger.apps.search.schemas import TakenTask, Task
from messenger.db.connection import ConnectionSet
from messenger.db.database import Transaction

TASK = "id, status, progress, text, attempts, complete"  # in the order of Task
IS_OPEN = "status in ('WAITING', 'IN_PROCESS')"


async def wait_for_turn(tx: Transaction, asker: int) -> None:
    """Other requests that count the tasks of this person wait until this transaction has ended."""
    await tx.run(
        "select pg_advisory_xact_lock(hashtextextended('search ' || cast(:asker as text), 0))", asker=str(asker)
    )


async def count_open(tx: Transaction, asker: int) -> int:
    statement = f"select count(*) from search_tasks where asker_id = :asker and {IS_OPEN}"
    return int((await tx.run(statement, asker=asker)).scalar_one())


async def count_by_status(lines: ConnectionSet) -> dict[str, int]:
    return dict(await lines.rows("select status, count(*) from search_tasks group by status"))


async def add_task(tx: Transaction, asker: int | None, words: str, lifetime: float) -> int:
    statement = """
        insert into search_tasks (asker_id, text, expires_at)
        values (:asker, :words, clock_timestamp() + make_interval(secs => :lifetime)) returning id
        """
    return int((await tx.run(statement, asker=asker, words=words, lifetime=lifetime)).scalar_one())


async def find_task(tx: Transaction, asker: int | None, task_id: int) -> Task | None:
    statement = f"""
        select {TASK} from search_tasks
         where id = :id and asker_id is not distinct from cast(:asker as bigint) and expires_at > clock_timestamp()
        """
    row = (await tx.run(statement, id=task_id, asker=asker)).one_or_none()
    return Task(*row) if row else None


async def is_anything_open(tx: Transaction) -> bool:
    statement = f"select exists(select from search_tasks where {IS_OPEN})"
    return bool((await tx.run(statement)).scalar_one())


async def is_open(tx: Transaction, task_id: int) -> bool:
    statement = f"select exists(select from search_tasks where id = :id and {IS_OPEN})"
    return bool((await tx.run(statement, id=task_id)).scalar_one())


# Tasks that have waited long enough, and tasks whose holder has died.
UNHELD = (
    "(o.status = 'WAITING' and o.created_at <= clock_timestamp() - make_interval(secs => :delay)"
    " or o.status = 'IN_PROCESS' and o.lease_until < clock_timestamp())"
)


async def claim(
    tx: Transaction, delay: float, lease: float, most_attempts: int, task_id: int | None = None
) -> TakenTask | None:
    """This task, or the oldest that nobody holds. Others who choose at the same time get another one."""
    this = {} if task_id is None else {"task": task_id}
    statement = f"""
        update search_tasks t
           set status = 'IN_PROCESS', attempts = attempts + 1, progress = 0,
               lease_until = clock_timestamp() + make_interval(secs => :lease)
         where t.id = (
               select o.id from search_tasks o
                where o.attempts < :most and {UNHELD} {"and o.id = :task" if this else ""}
                order by o.id limit 1 for update skip locked)
        returning t.id, t.asker_id, t.text, t.attempts
        """
    row = (await tx.run(statement, delay=delay, lease=lease, most=most_attempts, **this)).one_or_none()
    return TakenTask(*row) if row else None


async def hand_over(tx: Transaction, delay: float, lease: float, most_attempts: int, limit: int) -> list[int]:
    """Tasks that nobody holds, neither a worker nor the broker: from now on the broker does, for a while."""
    statement = f"""
        update search_tasks t
           set status = 'WAITING', progress = 0,
               lease_until = clock_timestamp() + make_interval(secs => :lease)
         where t.id in (
               select o.id from search_tasks o
                where o.attempts < :most and {UNHELD}
                  and (o.lease_until is null or o.lease_until < clock_timestamp())
                order by o.id limit :limit for update skip locked)
        returning t.id
        """
    rows = await tx.run(statement, delay=delay, lease=lease, most=most_attempts, limit=limit)
    return list(rows.scalars())


async def take_back(tx: Transaction, task_ids: Sequence[int]) -> None:
    """The broker did not get them."""
    statement = (
        "update search_tasks set lease_until = null where id = any(cast(:ids as bigint[])) and status = 'WAITING'"
    )
    await tx.run(statement, ids=list(task_ids))


async def give_up(tx: Transaction, task_id: int) -> tuple[int, int | None] | None:
    """Failed, unless somebody is alive who works on it: the task and its asker."""
    statement = """
        update search_tasks set status = 'FAILED', lease_until = null
         where id = :id and (status = 'WAITING' or status = 'IN_PROCESS' and lease_until < clock_timestamp())
        returning id, asker_id
        """
    row = (await tx.run(statement, id=task_id)).one_or_none()
    return (row.id, row.asker_id) if row else None


async def fail_hopeless(tx: Transaction, most_attempts: int, deadline: float) -> list[tuple[int, int | None]]:
    """Tried too often, or too late for anybody: the tasks and their askers."""
    statement = """
        update search_tasks set status = 'FAILED', lease_until = null
         where id in (select o.id from search_tasks o
                       where o.status in ('WAITING', 'IN_PROCESS')
                         and (o.created_at < clock_timestamp() - make_interval(secs => :deadline)
                              or o.attempts >= :most and o.lease_until < clock_timestamp())
                         for update skip locked)
        returning id, asker_id
        """
    rows = await tx.run(statement, most=most_attempts, deadline=deadline)
    return [(row.id, row.asker_id) for row in rows]


async def renew(tx: Transaction, work: TakenTask, lease: float) -> bool:
    """Prolongs the lease. False: the task is no longer mine."""
    return await _change(tx, work, "lease_until = clock_timestamp() + make_interval(secs => :lease)", lease=lease)


async def advance(tx: Transaction, work: TakenTask, progress: int) -> bool:
    return await _change(tx, work, "progress = :progress", progress=progress)


async def finish(tx: Transaction, work: TakenTask, hits: int, *, is_complete: bool) -> bool:
    done = "status = 'SUCCESS', progress = 100, hits = :hits, complete = :complete, lease_until = null"
    return await _change(tx, work, done, hits=hits, complete=is_complete)


async def put_back(tx: Transaction, work: TakenTask) -> None:
    """As if nobody had taken it up."""
    await _change(tx, work, "status = 'WAITING', progress = 0, attempts = attempts - 1, lease_until = null")


async def _change(tx: Transaction, work: TakenTask, changes: str, **given: Any) -> bool:
    """False: another worker has it now, or it is over."""
    statement = f"""
        update search_tasks set {changes}
         where id = :id and attempts = :attempt and status = 'IN_PROCESS' returning id
        """
    return (await tx.run(statement, id=work.task_id, attempt=work.attempt, **given)).first() is not None


async def forget_tasks(tx: Transaction, asker: int) -> list[Task]:
    rows = await tx.run(f"delete from search_tasks where asker_id = :asker returning {TASK}", asker=asker)
    return [Task(*row) for row in rows]


async def forget_expired(tx: Transaction) -> list[Task]:
    rows = await tx.run(f"delete from search_tasks where expires_at < clock_timestamp() returning {TASK}")
    return [Task(*row) for row in rows]


async def fail(tx: Transaction, task_id: int) -> None:
    await tx.run("update search_tasks set status = 'FAILED' where id = :id", id=task_id)
