"""The group commit: drafts submitted while a batch is being written are the next batch.

A single draft is written at once. A batch is one round trip and one commit. Writing a draft twice does no harm (its key
finds what is stored already), so a batch whose outcome is unknown is tried again.

Nothing here knows what a draft contains: its owner writes the batch with one statement and answers each draft.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import asyncpg

from messenger.db.connection import ConnectionLost, ReconnectingConnection
from messenger.db.liveness import Liveness
from messenger.distribution import Distribution
from messenger.errors import BadParameters, InternalError, MessengerError, Unavailable

log = logging.getLogger(__name__)

MOST_IN_BATCH = 100
ENOUGH = 32  # drafts that share a commit; more of them make it hardly cheaper
LINGER, LONGEST_LINGER = 0.5, 0.001  # after a batch: half of the time it took, and never more than a millisecond
MOST_WAITING = 20_000
SIZES = (1, 2, 4, 8, 16, 32, 64, MOST_IN_BATCH)
PATIENCE = 1.0  # a draft is answered within a second, whatever the database does (its key makes another try safe)
LOCKED_PATIENCE = 10.0  # for drafts of a chat that another application keeps locked
SWEEP = 0.02  # seconds between two checks for overdue drafts, at least
LATE = 0.25  # when the loop itself is so late, the answers may be here and unread
PAUSE = 0.05  # before another try
MOST_LOCKED = 8  # locked chats that are tried at the same time
# The plans must not depend on what the planner happens to believe about fresh tables.
PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",  # of a table that was vacuumed while it was empty, it would keep the whole index
    "jit": "off",
    "statement_timeout": "5s",
}
# Which chats are locked, and whether commits hang (a synchronous standby is frozen): then the locks are our own.
LOCKED = """
    with free as (select id from chats where id = any($1) order by id for no key update skip locked)
    select array(select id from chats where id = any($1) and id not in (select id from free)) as chats,
           exists(select from pg_stat_activity
                   where datname = current_database() and wait_event = 'SyncRep'
                     and query_start < clock_timestamp() - interval '250 ms') as is_stuck
"""
UNSTORABLE = frozenset({"22000", "22021", "22P05"})  # text that the driver or PostgreSQL refuses
# Nothing was stored, and another try may succeed.
AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)


@dataclass(slots=True, eq=False, kw_only=True)
class Queued:
    """A draft on its way into the log."""

    chat_id: int
    due: float = 0.0  # it is answered by then, whatever happens to its batch
    is_answered: bool = False
    is_uncertain: bool = False  # the outcome of a try is unknown: it may be stored
    goes_alone: bool = False  # it was in a batch that cannot be stored as a whole
    is_borrowed: bool = False  # of another process, which can write it itself

    @property
    def repeats(self) -> Hashable | None:
        """The same for every copy of it; two copies never share a batch."""
        return None


D = TypeVar("D", bound=Queued)
D_contra = TypeVar("D_contra", bound=Queued, contravariant=True)


class Owner(Protocol[D_contra]):
    """Knows what the drafts contain."""

    async def write(self, connection: ReconnectingConnection, batch: Sequence[D_contra]) -> None:
        """Executes one statement, then answers each draft."""

    def refuse(self, draft: D_contra, error: MessengerError) -> None:
        """Answers the draft, unless it is answered."""


class Shortcut(Protocol[D]):
    """Another process may write what waits here."""

    def take(self, drafts: deque[D]) -> bool:
        """Takes all of them, or none."""

    def handed(self) -> Sequence[D]:
        """What it took and has not answered."""


class Queue(Generic[D]):
    """Drafts in their order, and the connection that writes them, batch after batch."""

    def __init__(self, owner: Owner[D], connection: ReconnectingConnection) -> None:
        self._owner = owner
        self._connection = connection
        self.waiting: deque[D] = deque()
        self.under_way: Sequence[D] = ()

    async def write_next(self) -> int:
        """Writes one batch and returns its size. Each draft is then answered, or at the front of the queue again."""
        batch = self.under_way = take_batch(self.waiting)
        try:
            await self._owner.write(self._connection, batch)
        except Exception as error:  # nothing may end the sending
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
        elif len(batch) > 1:  # one draft in it cannot be stored: the others must not fail with it
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

    def drop_answered(self) -> None:
        self.waiting = deque(draft for draft in self.waiting if not draft.is_answered)

    def take_chat(self, chat_id: int) -> list[D]:
        taken = [draft for draft in self.waiting if draft.chat_id == chat_id]
        self.waiting = deque(draft for draft in self.waiting if draft.chat_id != chat_id)
        return taken

    def unanswered(self) -> list[D]:
        return [draft for some in (self.under_way, self.waiting) for draft in some if not draft.is_answered]

    def refuse_overdue(self, now: float) -> float | None:
        """Refuses the overdue drafts; returns when the next one is due."""
        left = self.unanswered()
        for draft in left:
            if draft.due <= now:
                self._owner.refuse(draft, unknown())
        if any(draft.is_answered for draft in left):
            self.drop_answered()
        return min((draft.due for draft in left if not draft.is_answered), default=None)

    def close(self) -> None:
        self._connection.close()


class Appender(Queue[D]):
    def __init__(self, owner: Owner[D], dsn: str, liveness: Liveness | None = None) -> None:
        self._dsn = dsn
        self._liveness = liveness
        super().__init__(owner, self._new_connection("250ms"))
        self.shortcut: Shortcut[D] | None = None
        self._locked: dict[int, Queue[D]] = {}  # by chats that another application keeps locked
        self._tasks: set[asyncio.Task[None]] = set()
        self._locked_turns = asyncio.Semaphore(MOST_LOCKED)
        self._loop = asyncio.get_running_loop()  # kept, since every draft asks for the time
        self._news = asyncio.Event()
        self._wanted = 1  # so many waiting drafts are news
        self._sweep: asyncio.TimerHandle | None = None
        self._sweep_at = 0.0  # kept, since what uvloop calls at once has no time of its own
        self.sizes = Distribution(SIZES)  # of the batches
        self.durations = Distribution()  # seconds from the first try to write a batch until its drafts are answered

    async def start(self) -> None:
        self._begin(self._run())

    async def stop(self) -> None:
        """Writes what waits, for a second at most, and ends."""
        deadline = self._loop.time() + PATIENCE
        while (self.under_way or self.waiting or self._locked) and self._loop.time() < deadline:
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
        """Does not wait. The draft is answered once, whatever happens."""
        queue: Queue[D] = self._locked.get(draft.chat_id, self)
        if len(queue.waiting) >= MOST_WAITING or (draft.is_borrowed and queue is not self):
            self._owner.refuse(draft, Unavailable("Too much is waiting to be stored.", retry_after=1))
            return
        draft.due = self._loop.time() + (PATIENCE if queue is self else LOCKED_PATIENCE)
        queue.waiting.append(draft)
        if self._sweep is None or self._sweep_at > draft.due:
            self._check_overdue_at(draft.due)
        if len(self.waiting) >= self._wanted:
            self._news.set()

    def write_again(self, drafts: Sequence[D]) -> None:
        """The shortcut failed them; they come first."""
        self.put_back(drafts)
        self._news.set()

    async def write_next(self) -> int:
        began = time.perf_counter()
        written = await super().write_next()
        self.sizes.note(written)
        self.durations.note(time.perf_counter() - began)
        return written

    def unanswered(self) -> list[D]:
        left = super().unanswered()
        if self.shortcut is not None:
            left += [draft for draft in self.shortcut.handed() if not draft.is_answered]
        return left

    def _check_overdue_at(self, when: float) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep, self._sweep_at = self._loop.call_at(when, self._refuse_overdue), when

    def _refuse_overdue(self) -> None:
        """Called by one timer for all drafts: once a second while they are answered in time."""
        now, timer, self._sweep = self._loop.time(), self._sweep, None
        if timer is not None and now - self._sweep_at > LATE:
            return self._check_overdue_at(now + SWEEP)
        dues = [queue.refuse_overdue(now) for queue in (self, *self._locked.values())]
        next_due = min((due for due in dues if due is not None), default=None)
        if next_due is not None:
            self._check_overdue_at(max(next_due, now + SWEEP))
        return None

    async def _run(self) -> None:
        while True:
            try:
                await self._keep_writing()
            except Exception:
                log.exception("the appender stumbled and goes on")
                await self._try_again_later(self.under_way)

    async def _keep_writing(self) -> None:
        while True:
            while self.waiting:
                if self.shortcut is not None and self.shortcut.take(self.waiting):
                    continue
                began = self._loop.time()
                written = await self.write_next()
                if self.waiting:
                    await self._gather(written + len(self.waiting), (self._loop.time() - began) * LINGER)
            await self._news.wait()
            self._news.clear()

    async def _gather(self, senders: int, seconds: float) -> None:
        """Senders who have just been answered are likely to send again: wait a moment for them while few drafts wait.

        Otherwise concurrent senders split into two halves that commit in turns, at twice the cost.
        """
        self._wanted = min(senders, ENOUGH)
        if len(self.waiting) < self._wanted:
            self._news.clear()
            timer = self._loop.call_later(min(seconds, LONGEST_LINGER), self._news.set)
            await self._news.wait()
            timer.cancel()
        self._wanted = 1

    async def _recover(self, batch: Sequence[D], error: Exception) -> None:
        if isinstance(error, asyncpg.LockNotAvailableError):
            try:
                row = await self._connection.row(LOCKED, sorted({draft.chat_id for draft in batch}))
            except Exception as other:
                error = other
            else:
                if not row["is_stuck"]:
                    self._set_aside(batch, frozenset(row["chats"]))
                    return
        await super()._recover(batch, error)

    def _set_aside(self, batch: Sequence[D], locked: frozenset[int]) -> None:
        """Drafts of chats that another application has locked get a queue per chat; the others are written at once.

        A borrowed one goes back: else those that its process sends after it might overtake it.
        """
        for draft in (*batch, *self.waiting):
            if draft.is_borrowed and draft.chat_id in locked:
                self._owner.refuse(draft, unknown())
        self.put_back([draft for draft in batch if draft.chat_id not in locked])
        for chat_id in locked:
            queue = Queue(self._owner, self._new_connection("2s"))
            queue.waiting.extend(draft for draft in batch if draft.chat_id == chat_id and not draft.is_answered)
            queue.waiting.extend(self.take_chat(chat_id))  # they must not overtake those
            for draft in queue.waiting:
                draft.due += LOCKED_PATIENCE - PATIENCE
            self._locked[chat_id] = queue
            self._begin(self._empty(chat_id, queue))

    async def _empty(self, chat_id: int, queue: Queue[D]) -> None:
        try:
            async with self._locked_turns:
                while queue.waiting:
                    await queue.write_next()
        finally:
            del self._locked[chat_id]
            self.put_back(queue.unanswered())
            queue.close()
            self._news.set()

    def _new_connection(self, lock_timeout: str) -> ReconnectingConnection:
        return ReconnectingConnection(self._dsn, {"lock_timeout": lock_timeout, **PLANS}, liveness=self._liveness)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def take_batch(waiting: deque[D]) -> list[D]:
    """The next drafts in their order. A second copy waits for the next batch, which finds the first one stored."""
    batch: list[D] = []
    taken: set[Hashable] = set()
    while waiting and len(batch) < MOST_IN_BATCH:
        draft = waiting[0]
        if draft.goes_alone and batch:
            break
        key = draft.repeats
        if key is not None:
            if key in taken:
                break
            taken.add(key)
        batch.append(waiting.popleft())
        if draft.goes_alone:
            break
    return batch


def unknown() -> Unavailable:
    return Unavailable("Unknown whether this was stored; send it again with its key.", retry_after=1)
