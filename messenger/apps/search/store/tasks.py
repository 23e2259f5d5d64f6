"""The statements about search tasks: one function, one statement.

Their clock is the database's, the same for all who work on them.
"""

from collections.abc import Sequence
from typing import Any

from messenger.apps.search.schemas import Task, Work
from messenger.db.database import Transaction
from messenger.db.statements import text

TASK = "id, status, progress, text, attempts, complete"


async def wait_for_turn(tx: Transaction, asker: int) -> None:
    """Who else counts the tasks of this person waits until this transaction has ended."""
    await tx.session.execute(
        text("select pg_advisory_xact_lock(hashtextextended('search ' || cast(:asker as text), 0))"),
        {"asker": str(asker)},
    )


async def count_open(tx: Transaction, asker: int) -> int:
    rows = await tx.session.execute(
        text("select count(*) from search_tasks where asker_id = :asker and status in ('WAITING', 'IN_PROCESS')"),
        {"asker": asker},
    )
    return int(rows.scalar_one())


async def add_task(tx: Transaction, asker: int | None, words: str, lifetime: float) -> int:
    row = await tx.session.execute(
        text(
            "insert into search_tasks (asker_id, text, expires_at)"
            " values (:asker, :words, clock_timestamp() + make_interval(secs => :lifetime)) returning id"
        ),
        {"asker": asker, "words": words, "lifetime": lifetime},
    )
    return int(row.scalar_one())


async def find_task(tx: Transaction, asker: int | None, task_id: int) -> Task | None:
    row = (
        await tx.session.execute(
            text(
                f"select {TASK} from search_tasks where id = :id"
                " and asker_id is not distinct from cast(:asker as bigint) and expires_at > clock_timestamp()"
            ),
            {"id": task_id, "asker": asker},
        )
    ).one_or_none()
    return _task(row) if row else None


def _task(row: Any) -> Task:
    return Task(row.id, row.status, row.progress, row.text, row.attempts, row.complete)


async def is_anything_open(tx: Transaction) -> bool:
    statement = text("select exists(select from search_tasks where status in ('WAITING', 'IN_PROCESS'))")
    return bool((await tx.session.execute(statement)).scalar_one())


async def is_open(tx: Transaction, task_id: int) -> bool:
    statement = text("select exists(select from search_tasks where id = :id and status in ('WAITING', 'IN_PROCESS'))")
    return bool((await tx.session.execute(statement, {"id": task_id})).scalar_one())


# What waits for long enough, and what was held by somebody who has died.
UNHELD = (
    "(o.status = 'WAITING' and o.created_at <= clock_timestamp() - make_interval(secs => :delay)"
    " or o.status = 'IN_PROCESS' and o.lease_until < clock_timestamp())"
)


async def claim(
    tx: Transaction, delay: float, lease: float, most_attempts: int, task_id: int | None = None
) -> Work | None:
    """This one or the oldest that nobody holds. Whoever else is choosing takes another one."""
    row = (
        await tx.session.execute(
            text(
                f"""
                update search_tasks t
                   set status = 'IN_PROCESS', attempts = attempts + 1, progress = 0,
                       lease_until = clock_timestamp() + make_interval(secs => :lease)
                 where t.id = (
                       select o.id from search_tasks o
                        where o.attempts < :most and {UNHELD}
                          {"" if task_id is None else "and o.id = :task"}
                        order by o.id limit 1 for update skip locked)
                returning t.id, t.asker_id, t.text, t.attempts
                """
            ),
            {"delay": delay, "lease": lease, "most": most_attempts} | ({} if task_id is None else {"task": task_id}),
        )
    ).one_or_none()
    return Work(row.id, row.asker_id, row.text, row.attempts) if row else None


async def hand_over(tx: Transaction, delay: float, lease: float, most_attempts: int, limit: int) -> list[int]:
    """Tasks that nobody holds, neither a worker nor the broker: from now on the broker does, for a while."""
    rows = await tx.session.execute(
        text(
            f"""
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
        ),
        {"delay": delay, "lease": lease, "most": most_attempts, "limit": limit},
    )
    return list(rows.scalars())


async def take_back(tx: Transaction, task_ids: Sequence[int]) -> None:
    """The broker did not get them."""
    await tx.session.execute(
        text(
            "update search_tasks set lease_until = null where id = any(cast(:ids as bigint[])) and status = 'WAITING'"
        ),
        {"ids": list(task_ids)},
    )


async def give_up(tx: Transaction, task_id: int) -> tuple[int, int | None] | None:
    """Failed, unless somebody is alive who works on it: the task and its asker."""
    row = (
        await tx.session.execute(
            text(
                "update search_tasks set status = 'FAILED', lease_until = null where id = :id"
                " and (status = 'WAITING' or status = 'IN_PROCESS' and lease_until < clock_timestamp())"
                " returning id, asker_id"
            ),
            {"id": task_id},
        )
    ).one_or_none()
    return (row.id, row.asker_id) if row else None


async def fail_hopeless(tx: Transaction, most_attempts: int, deadline: float) -> list[tuple[int, int | None]]:
    """Tried too often, or too late for anybody: the tasks and their askers."""
    rows = await tx.session.execute(
        text(
            """
            update search_tasks set status = 'FAILED', lease_until = null
             where id in (select o.id from search_tasks o
                           where o.status in ('WAITING', 'IN_PROCESS')
                             and (o.created_at < clock_timestamp() - make_interval(secs => :deadline)
                                  or o.attempts >= :most and o.lease_until < clock_timestamp())
                             for update skip locked)
            returning id, asker_id
            """
        ),
        {"most": most_attempts, "deadline": deadline},
    )
    return [(row.id, row.asker_id) for row in rows]


MINE_TO_DO = "id = :id and attempts = :attempt and status = 'IN_PROCESS'"


async def renew(tx: Transaction, work: Work, lease: float) -> bool:
    """Still alive. Is it still mine?"""
    found = await tx.session.execute(
        text(
            "update search_tasks set lease_until = clock_timestamp() + make_interval(secs => :lease)"
            f" where {MINE_TO_DO} returning id"
        ),
        {"id": work.task_id, "attempt": work.attempt, "lease": lease},
    )
    return found.first() is not None


async def advance(tx: Transaction, work: Work, progress: int) -> bool:
    found = await tx.session.execute(
        text(f"update search_tasks set progress = :progress where {MINE_TO_DO} returning id"),
        {"id": work.task_id, "attempt": work.attempt, "progress": progress},
    )
    return found.first() is not None


async def finish(tx: Transaction, work: Work, hits: int, *, is_complete: bool) -> bool:
    found = await tx.session.execute(
        text(
            "update search_tasks set status = 'SUCCESS', progress = 100, hits = :hits, complete = :complete,"
            f" lease_until = null where {MINE_TO_DO} returning id"
        ),
        {"id": work.task_id, "attempt": work.attempt, "hits": hits, "complete": is_complete},
    )
    return found.first() is not None


async def give_back(tx: Transaction, work: Work, pause: float) -> None:
    """This try has failed; another one may follow after a pause."""
    await tx.session.execute(
        text(
            "update search_tasks set lease_until = clock_timestamp() + make_interval(secs => :pause)"
            f" where {MINE_TO_DO}"
        ),
        {"id": work.task_id, "attempt": work.attempt, "pause": pause},
    )


async def put_back(tx: Transaction, work: Work) -> None:
    """As if nobody had taken it up."""
    await tx.session.execute(
        text(
            "update search_tasks set status = 'WAITING', progress = 0, attempts = attempts - 1, lease_until = null"
            f" where {MINE_TO_DO}"
        ),
        {"id": work.task_id, "attempt": work.attempt},
    )


async def forget_tasks(tx: Transaction, asker: int) -> list[Task]:
    rows = await tx.session.execute(
        text(f"delete from search_tasks where asker_id = :asker returning {TASK}"), {"asker": asker}
    )
    return [_task(row) for row in rows]


async def forget_expired(tx: Transaction) -> list[Task]:
    rows = await tx.session.execute(
        text(f"delete from search_tasks where expires_at < clock_timestamp() returning {TASK}")
    )
    return [_task(row) for row in rows]


async def fail(tx: Transaction, task_id: int) -> None:
    await tx.session.execute(text("update search_tasks set status = 'FAILED' where id = :id"), {"id": task_id})
