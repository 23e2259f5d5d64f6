"""Searching in the background: tasks are stored, somebody works on them, and what they found is fetched once.

The row of a task is its truth. Whoever works on it holds it for a few seconds at a time, so that the work of whoever
dies is taken up by another; the number of the try keeps a late one from finishing what is no longer his.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from messenger.apps.search import store
from messenger.apps.search.schemas import (
    LONGEST,
    MOST_HITS,
    SHORTEST_TASK,
    Found,
    Status,
    Task,
    TaskHit,
    TaskPage,
    Wanted,
    Work,
)
from messenger.apps.search.service import eyes, look
from messenger.apps.search.words import Question
from messenger.db.engine import Database, Transaction
from messenger.errors import BadParameters, Flaw, TaskNotFound
from messenger.identity import Caller, Identity, UserId
from messenger.log.entries import News

if TYPE_CHECKING:
    from messenger.apps.search.service import Show

log = logging.getLogger(__name__)

LIFETIME = 3600.0  # seconds until a task and what is left of its results are forgotten
DEADLINE = 60.0  # after which a task has failed, whatever became of those who worked on it
LEASE = 5.0  # a worker that was not heard of for so long is dead
BEAT = 1.5
ATTEMPTS = 3
PAUSE = 1.0  # before another try
CHATS_AT_ONCE = 100


def check_words(words: str) -> str:
    trimmed = words.strip()
    if SHORTEST_TASK <= len(trimmed) and len(words) <= LONGEST:
        return trimmed
    detail = f"must have {SHORTEST_TASK} to {LONGEST} characters"
    raise BadParameters(f"/message: {detail}.", flaws=[Flaw("/message", detail)])


async def add(db: Database, me: Identity | None, words: str) -> int:
    async with db.transaction() as tx:
        return await store.add_task(tx, owner(me), words, LIFETIME)


async def status(db: Database, me: Identity | None, task_id: int) -> Task:
    async with db.reading() as tx:
        return await _get(tx, me, task_id)


async def fetch(db: Database, show: "Show", me: Identity | None, task_id: int, start: int, limit: int) -> TaskPage:
    """A page of what may be read now; what it holds, and what may not be read any more, is gone from the store."""
    hits: list[TaskHit] = []
    start = max(start, 1)
    while len(hits) < limit:
        # What cannot be shown now because the database is away stays in the store: nothing was committed.
        async with db.transaction() as tx:
            task = await _get(tx, me, task_id)
            if task.status != "SUCCESS":
                break
            if await store.fail_if_lost(tx, task_id):
                log.warning("the results of a search were lost task=%s", task_id)
                tell(tx, task_id, owner(me), "search_finished", "FAILED", 100)
                break
            taken = await store.take_results(tx, task_id, start, limit - len(hits))
            answers = await look(tx, show, eyes(me), Question.typed(task.text), taken)
        if not taken:
            break
        start = taken[-1].place + 1
        hits += [
            TaskHit(one.shown.message.id, one.shown.message.chat_id, one.shown.message.text, one.spans)
            for one in answers
        ]
    return TaskPage(hits, start)


async def _get(tx: Transaction, me: Identity | None, task_id: int) -> Task:
    found = await store.find_task(tx, owner(me), task_id)
    if found is None:
        raise TaskNotFound
    return found


def owner(me: Identity | None) -> UserId | None:
    return me.user_id if me is not None else None


async def forget(tx: Transaction, me: Identity, caller: Caller) -> None:
    """With the account goes what it looked for."""
    await store.forget_tasks(tx, me.user_id)


# --- the work


async def take_up(db: Database, delay: float) -> Work | None:
    """The next task to be done, if there is one; those that nobody can do any more have failed."""
    async with db.reading() as tx:
        if not await store.is_anything_open(tx):
            return None
    async with db.transaction() as tx:
        for task_id, asker in await store.fail_hopeless(tx, ATTEMPTS, DEADLINE + 2 * delay):
            log.warning("a search failed task=%s", task_id)
            tell(tx, task_id, asker, "search_finished", "FAILED", 100)
        work = await store.claim(tx, delay, LEASE, ATTEMPTS)
        if work is not None:
            tell(tx, work.task_id, work.asker_id, "search_progress", "IN_PROCESS", 0)
    return work


async def do(db: Database, work: Work, delay: float) -> None:
    """From the question to the stored results, while it is told again and again that somebody is alive here."""
    doing = asyncio.ensure_future(_search(db, work, delay))
    try:
        while not (await asyncio.wait({doing}, timeout=BEAT))[0]:
            async with db.reading() as tx:
                if not await store.renew(tx, work, LEASE):
                    return  # somebody else has it now, or it is too late
        doing.result()
    finally:
        doing.cancel()


async def _search(db: Database, work: Work, delay: float) -> None:
    question = Question.typed(work.text)
    found: list[Found] = []
    if question.wanted:
        parts = list(await _parts(db, work.asker_id))
        for number, chats in enumerate(parts, 1):
            async with db.transaction() as tx:
                await store.plan_anew(tx)
                wanted = Wanted(work.text, MOST_HITS, order="recent", chats=chats)
                found += await store.find(tx, work.asker_id, question, wanted)
            if number < len(parts):
                await _advance(db, work, 100 * number // len(parts))
    found.sort(key=lambda one: one.message_id, reverse=True)
    await asyncio.sleep(delay)
    async with db.transaction() as tx:
        if await store.finish(tx, work, len(found[:MOST_HITS])):
            await store.keep_results(tx, work.task_id, found[:MOST_HITS])
            tell(tx, work.task_id, work.asker_id, "search_finished", "SUCCESS", 100)


async def _parts(db: Database, asker: int | None) -> Iterator[Sequence[int] | None]:
    """Many chats are searched a part at a time, so that no statement takes long and progress can be told."""
    if asker is None:
        return iter([None])
    async with db.reading() as tx:
        chats = await store.find_chats(tx, asker)
    if len(chats) <= CHATS_AT_ONCE:
        return iter([None])
    return (chats[first : first + CHATS_AT_ONCE] for first in range(0, len(chats), CHATS_AT_ONCE))


async def _advance(db: Database, work: Work, progress: int) -> None:
    async with db.transaction() as tx:
        if await store.advance(tx, work, progress):
            tell(tx, work.task_id, work.asker_id, "search_progress", "IN_PROCESS", progress)


async def give_back(db: Database, work: Work) -> None:
    async with db.reading() as tx:
        await store.give_back(tx, work, PAUSE)


async def put_back(db: Database, work: Work) -> None:
    async with db.reading() as tx:
        await store.put_back(tx, work)


async def sweep(db: Database) -> None:
    async with db.reading() as tx:
        await store.sweep(tx)


def tell(tx: Transaction, task_id: int, asker: int | None, kind: str, status: Status, progress: int) -> None:
    if asker is not None:
        data = {"status": status, "progress": progress}
        tx.emit(News(kind, user_id=asker, subject_id=task_id, data=data))
