"""Searching in the background: tasks are stored, workers do them, and what they find is fetched once.

The row of a task decides. A worker holds it by a lease of a few seconds, so that another one takes over when it dies;
the number of the attempt keeps a late worker from finishing a task that is no longer its own.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from messenger.apps.search.index import Index
from messenger.apps.search.results import Results
from messenger.apps.search.schemas import (
    LIFETIME,
    LONGEST,
    MOST_HITS,
    SHORTEST_TASK,
    Match,
    Result,
    SearchRequest,
    Status,
    TakenTask,
    Task,
    TaskHit,
    TaskPage,
)
from messenger.apps.search.service import MarkedMessage, find, mark, reader_id
from messenger.apps.search.store import searching
from messenger.apps.search.store import tasks as store
from messenger.apps.search.words import Question
from messenger.db.database import Database, Transaction
from messenger.db.news import News
from messenger.errors import BadParameters, Flaw, TaskNotFound, TooManyRequests, Unavailable
from messenger.identity import Caller, Identity, UserId

if TYPE_CHECKING:
    from messenger.apps.search.service import LookUp

log = logging.getLogger(__name__)

DEADLINE = 60.0  # after which a task has failed, whatever happened to its workers
LEASE = 5.0  # a worker that does not renew it in this time is dead
BEAT = 1.5
ATTEMPTS = 3
PAUSE = 1.0  # before another try
LOOK = 0.5  # for new tasks, and for those of workers that died
SWEEP = 60.0
TRUST = 10.0  # seconds; a task that the broker was given and nobody has taken up by then is handed over again
HANDFUL = 100
CHATS_AT_ONCE = 100
MOST_WAITING = 20  # of one person; they end within the deadline
COME_BACK = 5.0


def check_words(words: str) -> str:
    trimmed = words.strip()
    if SHORTEST_TASK <= len(trimmed) and len(words) <= LONGEST:
        return trimmed
    detail = f"must have {SHORTEST_TASK} to {LONGEST} characters"
    raise BadParameters(f"/message: {detail}.", flaws=[Flaw("/message", detail)])


async def add(db: Database, me: Identity | None, words: str) -> int:
    async with db.transaction() as tx:
        if me is not None:
            await store.wait_for_turn(tx, me.user_id)
            if await store.count_open(tx, me.user_id) >= MOST_WAITING:
                raise TooManyRequests(f"{MOST_WAITING} searches of yours are not done yet.", retry_after=COME_BACK)
        return await store.add_task(tx, owner(me), words, LIFETIME)


async def status(db: Database, me: Identity | None, task_id: int) -> Task:
    async with db.reading() as tx:
        return await _get(tx, me, task_id)


async def fetch(
    db: Database, results: Results, show: "LookUp", me: Identity | None, task_id: int, *, start: int, limit: int
) -> TaskPage:
    """A page of the results that may be read now. They leave the store, and so do those that may no longer be read."""
    hits: list[TaskHit] = []
    start = max(start, 1)
    while len(hits) < limit:
        taken, marked, is_complete = await _take(db, results, show, me, task_id, start=start, limit=limit - len(hits))
        if not taken:
            break
        start = taken[-1].number + 1
        mine = {str(one.message_id) for one in taken}
        hits += [
            TaskHit(one.shown.message.id, one.shown.message.chat_id, one.shown.message.text, one.spans)
            for one in marked
            if one.shown.message.id in mine
        ]
    return TaskPage(hits, start, is_complete)


async def _take(
    db: Database, results: Results, show: "LookUp", me: Identity | None, task_id: int, *, start: int, limit: int
) -> tuple[list[Result], list[MarkedMessage], bool]:
    """If the database is away, results stay in the store or are put back into it."""
    taken: list[Result] = []
    try:
        async with db.transaction() as tx:
            task = await _get(tx, me, task_id)
            if task.status != "SUCCESS":
                return [], [], False
            if await results.is_lost(tx, task):
                log.warning("the results of a search were lost task=%s", task_id)
                await store.fail(tx, task_id)
                emit_progress(tx, task_id, owner(me), "search_finished", "FAILED", 100)
                return [], [], False
            chosen = await results.choose(tx, task, start, limit)
            marked = await mark(tx, show, reader_id(me), Question.typed(task.text), chosen)
            taken = await results.take(tx, task, chosen)
            if chosen and not taken:
                raise Unavailable("Somebody else has just fetched these.", retry_after=1)
    except BaseException:
        if taken:
            await results.put_back(task, taken)
        raise
    return taken, marked, task.is_complete


async def _get(tx: Transaction, me: Identity | None, task_id: int) -> Task:
    found = await store.find_task(tx, owner(me), task_id)
    if found is None:
        raise TaskNotFound
    return found


def owner(me: Identity | None) -> UserId | None:
    return me.user_id if me is not None else None


async def forget(results: Results, tx: Transaction, me: Identity, caller: Caller) -> None:
    """The searches of a deleted account are deleted with it."""
    await results.forget(tx, await store.forget_tasks(tx, me.user_id))


async def sweep(db: Database, results: Results) -> None:
    async with db.transaction() as tx:
        await results.forget(tx, await store.forget_expired(tx))


# --- the work


async def take_up(db: Database, delay: float) -> TakenTask | None:
    """The next task to be done, if there is one. Tasks that nobody can do any more are failed first."""
    return await claim(db, delay) if await fail_hopeless(db, delay) else None


async def claim(db: Database, delay: float = 0, task_id: int | None = None) -> TakenTask | None:
    """None: there is nothing to do; of a task named: another worker holds it, or it is done."""
    async with db.transaction() as tx:
        work = await store.claim(tx, delay, LEASE, ATTEMPTS, task_id)
        if work is not None:
            emit_progress(tx, work.task_id, work.asker_id, "search_progress", "IN_PROCESS", 0)
    return work


async def fail_hopeless(db: Database, delay: float) -> bool:
    """False: there is nothing to do at all."""
    async with db.reading() as tx:
        if not await store.is_anything_open(tx):
            return False
    async with db.transaction() as tx:
        for task_id, asker in await store.fail_hopeless(tx, ATTEMPTS, DEADLINE + 2 * delay):
            _emit_failed(tx, task_id, asker)
    return True


async def hand_over(db: Database, delay: float) -> list[int]:
    """Gives tasks to the broker, which then holds them for a while as a worker does."""
    async with db.transaction() as tx:
        return await store.hand_over(tx, delay, TRUST, ATTEMPTS, HANDFUL)


async def take_back(db: Database, task_ids: Sequence[int]) -> None:
    async with db.reading() as tx:
        await store.take_back(tx, task_ids)


async def give_up(db: Database, task_id: int) -> bool:
    """The task fails. False: another worker still tries it."""
    async with db.transaction() as tx:
        failed = await store.give_up(tx, task_id)
        if failed is not None:
            _emit_failed(tx, *failed)
            return True
        return not await store.is_open(tx, task_id)


async def is_over(db: Database, task_id: int) -> bool:
    async with db.reading() as tx:
        return not await store.is_open(tx, task_id)


async def do(db: Database, results: Results, index: Index, work: TakenTask, delay: float) -> None:
    """From the question to the stored results, while the lease is renewed again and again."""
    doing = asyncio.ensure_future(_search(db, results, index, work, delay))
    try:
        while not (await asyncio.wait({doing}, timeout=BEAT))[0]:
            async with db.reading() as tx:
                if not await store.renew(tx, work, LEASE):
                    return  # another worker has it now, or it is too late
        doing.result()
    finally:
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)  # it may be in the middle of a transaction


async def _search(db: Database, results: Results, index: Index, work: TakenTask, delay: float) -> None:
    question = Question.typed(work.text)
    found: list[Match] = []
    needed: int | None = None  # the first part waits for the index
    is_complete = True
    parts = await _parts(db, work.asker_id)
    for number, chats in enumerate(parts, 1):
        request = SearchRequest(work.text, MOST_HITS, order="recent", chats=chats)
        matches = await find(db, index, work.asker_id, question, request, needed=needed)
        found += matches.documents or []
        needed, is_complete = matches.head, is_complete and matches.is_complete
        if number < len(parts):
            await _advance(db, work, 100 * number // len(parts))
    found.sort(key=lambda one: one.message_id, reverse=True)
    await asyncio.sleep(delay)
    async with db.transaction() as tx:
        if await store.finish(tx, work, len(found[:MOST_HITS]), is_complete=is_complete):
            await results.keep(tx, work, found[:MOST_HITS])
            emit_progress(tx, work.task_id, work.asker_id, "search_finished", "SUCCESS", 100)


async def _parts(db: Database, asker: int | None) -> Sequence[Sequence[int] | None]:
    """Many chats are searched a part at a time, so that no statement takes long and progress can be told."""
    if asker is None:
        return [None]
    async with db.reading() as tx:
        chats = await searching.find_chats(tx, asker)
    if len(chats) <= CHATS_AT_ONCE:
        return [None]
    return [chats[first : first + CHATS_AT_ONCE] for first in range(0, len(chats), CHATS_AT_ONCE)]


async def _advance(db: Database, work: TakenTask, progress: int) -> None:
    async with db.transaction() as tx:
        if await store.advance(tx, work, progress):
            emit_progress(tx, work.task_id, work.asker_id, "search_progress", "IN_PROCESS", progress)


async def give_back(db: Database, work: TakenTask) -> None:
    """This try has failed; another one may follow after a pause."""
    async with db.reading() as tx:
        await store.renew(tx, work, PAUSE)


async def put_back(db: Database, work: TakenTask) -> None:
    async with db.reading() as tx:
        await store.put_back(tx, work)


def _emit_failed(tx: Transaction, task_id: int, asker: int | None) -> None:
    log.warning("a search failed task=%s", task_id)
    emit_progress(tx, task_id, asker, "search_finished", "FAILED", 100)


def emit_progress(tx: Transaction, task_id: int, asker: int | None, kind: str, status: Status, progress: int) -> None:
    if asker is not None:
        data = {"status": status, "progress": progress}
        tx.emit(News(kind, user_id=asker, subject_id=task_id, data=data))
