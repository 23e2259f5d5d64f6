"""The group commit: what is handed in while a batch is being written is the next batch.

No timer delays anybody: a lone draft goes out at once. A batch is one round trip and one commit. A draft can be written
again without harm (its key finds what is stored already), so a batch whose outcome is unknown is simply tried again.

Nothing here knows what a draft says: its owner writes the batch with one statement, reads the answers and gives them.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import asyncpg

from messenger.db.connection import ConnectionLost, ReconnectingConnection
from messenger.errors import BadParameters, InternalError, MessengerError, Unavailable

if TYPE_CHECKING:
    from messenger.db.liveness import Liveness

log = logging.getLogger(__name__)

MOST_IN_BATCH = 100
ENOUGH = 32  # drafts that share a commit; more of them make it hardly cheaper
LINGER, LONGEST_LINGER = 0.5, 0.001  # of the last commit's time, and in seconds at most
MOST_WAITING = 20_000
PATIENCE = 1.0  # whatever the database does, a draft is answered within a second (its key makes another try safe)
LOCKED_PATIENCE = 10.0  # a chat that a stranger keeps locked delays its own drafts only
SWEEP = 0.02  # seconds between two looks for drafts whose time is over
LATE = 0.25  # a loop that is late itself says nothing about the database: the answers may lie there unread
PAUSE = 0.05  # before another try
MOST_LOCKED = 8  # locked chats that are tried at the same time
# The plans must not depend on what the planner happens to believe about fresh tables.
PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "statement_timeout": "5s",
}
# Which chats are not locked, and whether commits hang (a synchronous standby is frozen): their locks are no stranger's.
FREE = """
    select array(select id from chats where id = any($1) order by id for no key update skip locked) as chats,
           exists(select from pg_stat_activity
                   where datname = current_database() and wait_event = 'SyncRep'
                     and query_start < clock_timestamp() - interval '250 ms') as is_stuck
"""
UNSTORABLE = frozenset({"22000", "22021", "22P05"})  # text that the driver or PostgreSQL itself does not take
# Nothing was stored, and the next try may find the rival gone.
AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)


@dataclass(slots=True, eq=False, kw_only=True)
class Queued:
    """Something on its way into the log."""

    chat_id: int
    due: float = 0.0  # by then it is answered, whatever becomes of its batch
    is_answered: bool = False
    is_uncertain: bool = False  # a try was lost sight of: it may be stored
    goes_alone: bool = False  # it was in a batch that cannot be stored as a whole

    @property
    def repeats(self) -> Hashable | None:
        """What another copy of it would have in common; two copies never share a batch."""
        return None


D = TypeVar("D", bound=Queued)
D_contra = TypeVar("D_contra", bound=Queued, contravariant=True)


class Owner(Protocol[D_contra]):
    """Knows what the drafts say."""

    async def write(self, line: ReconnectingConnection, batch: Sequence[D_contra]) -> None:
        """One statement; then each draft has its answer."""

    def refuse(self, draft: D_contra, error: MessengerError) -> None:
        """Answers the draft, unless it has its answer."""


class Queue(Generic[D]):
    """Drafts in their order, and the connection by which they are written, batch after batch."""

    def __init__(self, owner: Owner[D], line: ReconnectingConnection) -> None:
        self._owner = owner
        self._line = line
        self.waiting: deque[D] = deque()
        self.under_way: Sequence[D] = ()

    async def write_next(self) -> int:
        """One batch: each of its drafts is answered then, or stands in front again. How many they were."""
        batch = self.under_way = take_batch(self.waiting)
        try:
            await self._owner.write(self._line, batch)
        except Exception as error:  # none of them may end the sending
            await self._recover(batch, error)
        self.under_way = ()
        return len(batch)

    async def _recover(self, batch: Sequence[D], error: Exception) -> None:
        if isinstance(error, ConnectionLost):
            for draft in batch:
                draft.is_uncertain = True
            await self._try_again_later(batch)
        elif isinstance(error, AGAIN):
            self.put_back(batch)
        elif len(batch) > 1:  # something in it cannot be stored at all: its neighbours must not suffer
            for draft in batch:
                draft.goes_alone = True
            self.put_back(batch)
        elif getattr(error, "sqlstate", None) in UNSTORABLE:
            self._owner.refuse(batch[0], BadParameters("This text cannot be stored."))
        else:
            log.error("a draft could not be stored", exc_info=error)
            if batch[0].is_uncertain:
                await self._try_again_later(batch)
            else:
                self._owner.refuse(batch[0], InternalError())

    async def _try_again_later(self, batch: Sequence[D]) -> None:
        self.put_back(batch)
        self.under_way = ()
        await asyncio.sleep(PAUSE)

    def put_back(self, drafts: Sequence[D]) -> None:
        self.waiting.extendleft(draft for draft in reversed(drafts) if not draft.is_answered)

    def take_chat(self, chat_id: int) -> list[D]:
        taken = [draft for draft in self.waiting if draft.chat_id == chat_id]
        self.waiting = deque(draft for draft in self.waiting if draft.chat_id != chat_id)
        return taken

    def unanswered(self) -> list[D]:
        return [draft for some in (self.under_way, self.waiting) for draft in some if not draft.is_answered]

    def refuse_overdue(self, now: float) -> float | None:
        """Drafts whose time is over are told so. When is the time of the next one over?"""
        left = self.unanswered()
        for draft in left:
            if draft.due <= now:
                self._owner.refuse(draft, unknown())
        if any(draft.is_answered for draft in left):
            self.waiting = deque(draft for draft in self.waiting if not draft.is_answered)
        return min((draft.due for draft in left if not draft.is_answered), default=None)

    def close(self) -> None:
        self._line.close()


class LockedChatQueue(Queue[D]):
    """What waits for a chat that a stranger keeps locked."""

    async def empty(self) -> None:
        while self.waiting:
            await self.write_next()


class Appender(Queue[D]):
    def __init__(self, owner: Owner[D], dsn: str, watch: "Liveness | None" = None) -> None:
        super().__init__(owner, ReconnectingConnection(dsn, {"lock_timeout": "250ms", **PLANS}, watch=watch))
        self._dsn = dsn
        self._watch = watch
        self._locked: dict[int, LockedChatQueue[D]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Semaphore(MOST_LOCKED)
        self._news = asyncio.Event()
        self._sweep: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        self._begin(self._run())

    async def stop(self) -> None:
        """What waits is still written; then nothing is any more."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while (self.under_way or self.waiting or self._locked) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        for task in tuple(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._sweep is not None:
            self._sweep.cancel()
        for draft in self.unanswered():
            self._owner.refuse(draft, unknown())
        self.close()

    def submit(self, draft: D) -> None:
        """Never waits; the draft is answered once, whatever becomes of it."""
        queue: Queue[D] = self._locked.get(draft.chat_id, self)
        if len(queue.waiting) >= MOST_WAITING:
            self._owner.refuse(draft, Unavailable("Too much is waiting to be stored.", retry_after=1))
            return
        loop = asyncio.get_running_loop()
        draft.due = loop.time() + (PATIENCE if queue is self else LOCKED_PATIENCE)
        queue.waiting.append(draft)
        if self._sweep is None:
            self._sweep = loop.call_at(draft.due, self._refuse_overdue)
        self._news.set()

    def _refuse_overdue(self) -> None:
        """One timer for all drafts: while they are answered in time it rings once a second."""
        loop = asyncio.get_running_loop()
        now, timer, self._sweep = loop.time(), self._sweep, None
        if timer is not None and now - timer.when() > LATE:
            self._sweep = loop.call_later(SWEEP, self._refuse_overdue)
            return
        dues = [queue.refuse_overdue(now) for queue in (self, *self._locked.values())]
        next_due = min((due for due in dues if due is not None), default=None)
        if next_due is not None:
            self._sweep = loop.call_at(max(next_due, now + SWEEP), self._refuse_overdue)

    async def _run(self) -> None:
        while True:
            try:
                await self._keep_writing()
            except Exception:
                log.exception("the appender stumbled and goes on")
                await self._try_again_later(self.under_way)

    async def _keep_writing(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while self.waiting:
                began = loop.time()
                written = await self.write_next()
                if self.waiting:
                    await self._gather(written + len(self.waiting), (loop.time() - began) * LINGER)
            await self._news.wait()
            self._news.clear()

    async def _gather(self, company: int, seconds: float) -> None:
        """Those who have just been answered are likely to go on talking: wait a moment for them, if the others are few.

        Otherwise people who talk at the same time fall into two halves that wait for each other, at twice the cost.
        """
        wanted = min(company, ENOUGH)
        until = asyncio.get_running_loop().time() + min(seconds, LONGEST_LINGER)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while len(self.waiting) < wanted:
                    self._news.clear()
                    await self._news.wait()

    async def _recover(self, batch: Sequence[D], error: Exception) -> None:
        if isinstance(error, asyncpg.LockNotAvailableError):
            try:
                row = await self._line.row(FREE, sorted({draft.chat_id for draft in batch}))
            except Exception as other:
                error = other
            else:
                if not row["is_stuck"]:
                    self._set_aside(batch, frozenset(row["chats"]))
                    return
        await super()._recover(batch, error)

    def _set_aside(self, batch: Sequence[D], free: frozenset[int]) -> None:
        """The drafts for chats that a stranger has locked go on in queues of their own, all others at once."""
        locked = [draft for draft in batch if draft.chat_id not in free]
        self.put_back([draft for draft in batch if draft.chat_id in free])
        for chat_id in {draft.chat_id for draft in locked}:
            queue = LockedChatQueue(
                self._owner, ReconnectingConnection(self._dsn, {"lock_timeout": "2s", **PLANS}, watch=self._watch)
            )
            queue.waiting.extend(draft for draft in locked if draft.chat_id == chat_id and not draft.is_answered)
            queue.waiting.extend(self.take_chat(chat_id))  # what waits already must not overtake
            for draft in queue.waiting:
                draft.due += LOCKED_PATIENCE - PATIENCE
            self._locked[chat_id] = queue
            self._begin(self._empty(chat_id, queue))

    async def _empty(self, chat_id: int, queue: LockedChatQueue[D]) -> None:
        try:
            async with self._turn:
                await queue.empty()
        finally:
            del self._locked[chat_id]
            self.put_back(queue.unanswered())
            queue.close()
            self._news.set()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def take_batch(waiting: deque[D]) -> list[D]:
    """The next ones in their order. A second copy waits for the next batch, where the first is found stored."""
    batch: list[D] = []
    taken: set[Hashable] = set()
    while waiting and len(batch) < MOST_IN_BATCH:
        draft = waiting[0]
        if draft.goes_alone and batch:
            break
        copies = draft.repeats
        if copies is not None:
            if copies in taken:
                break
            taken.add(copies)
        batch.append(waiting.popleft())
        if draft.goes_alone:
            break
    return batch


def unknown() -> Unavailable:
    return Unavailable("Unknown whether this was stored; send it again with its key.", retry_after=1)
