"""The group commit: what was sent while the last batch was being written is the next batch.

No timer: a lone message goes out at once. One round trip and one commit a batch; acks and events leave after the
commit, in the order of the positions. Every draft has a key before its first try, so a batch whose fate is unknown
is simply tried again.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec
from aiohttp import web

from messenger.apps.messages.history import HISTORY
from messenger.apps.messages.schemas import GIVEN, PLAIN, Message, Shown
from messenger.errors import (
    BadParameters,
    ChatNotFound,
    IdempotencyConflict,
    InternalError,
    MessageNotFound,
    MessengerError,
    SessionRevoked,
    Unavailable,
)
from messenger.log.entries import Entry, encode
from messenger.log.follow import Log
from messenger.log.hub import Listener
from messenger.log.line import Line, LineLost
from messenger.text import rfc3339
from messenger.web.keys import CONFIG, DATABASE, LIMITS, LOG, WATCH

if TYPE_CHECKING:
    from messenger.apps.throttling.limits import Limit
    from messenger.db.watch import Watch

log = logging.getLogger(__name__)

MOST_IN_BATCH = 100
ENOUGH = 32  # drafts that share a commit; more of them make it hardly cheaper
LINGER, LONGEST_LINGER = 0.5, 0.001  # of the last commit's time, and in seconds at most
MOST_WAITING = 20_000
PATIENCE = 1.0  # with the database away a sender hears so within a second (its key makes another try safe)
LANE_PATIENCE = 10.0  # a chat that a stranger keeps locked delays itself only
LANES = 8
# The plans must not depend on what the planner happens to believe about fresh tables.
PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "statement_timeout": "5s",
}
APPEND = "select * from log_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
APPEND_LONE = "select * from log_append_lone($1, $2, $3, $4, $5)"
FREE = "select id from chats where id = any($1) order by id for no key update skip locked"
REFUSALS: dict[str, type[MessengerError]] = {
    "chat-not-found": ChatNotFound,
    "session-revoked": SessionRevoked,
    "message-not-found": MessageNotFound,
    "idempotency-conflict": IdempotencyConflict,
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A stored message as its sender sees it now, and whether it had been stored before."""

    message: Message
    replayed: bool


LookUp = Callable[[Sequence[int]], Awaitable[Mapping[int, Shown]]]  # messages as they are now
Verdict = Sent | int | MessengerError
Answer = Callable[[Verdict], None]


@dataclass(slots=True, eq=False)
class Draft:
    """A message on its way into the log."""

    chat_id: int
    sender_id: int
    session_id: int | None
    text: str
    answer: Answer
    client_id: str | None = None
    operation_id: int | None = None
    reply_to: int | None = None
    origin: Listener | None = None
    letter: str = ""  # before its key, where it is neither a client's nor a plain one
    key: str = ""
    number: int = 0  # of this copy; its key may come again
    known: int = 0  # up to here everything was stored before this copy came
    since: float = 0.0
    was_tried: bool = False
    is_answered: bool = False
    watcher: "asyncio.Future[None] | None" = None

    @property
    def place(self) -> tuple[int, int, str]:
        return self.chat_id, self.sender_id, self.key

    @property
    def is_plain(self) -> bool:
        return self.operation_id is None and self.reply_to is None

    @property
    def repeated(self) -> str | int | None:
        """What a copy of it would have in common."""
        return self.client_id if self.operation_id is None else self.operation_id


@dataclass(slots=True, eq=False)
class Mark:
    """A read marker on its way: up to this message. Answered with the number it reached."""

    chat_id: int
    reader_id: int
    session_id: int | None
    message_id: int
    answer: Answer
    since: float = 0.0
    was_tried: bool = False
    is_answered: bool = False


class Sender:
    def __init__(
        self,
        dsn: str,
        stream: Log,
        look_up: LookUp,
        operation_window: float,
        watch: "Watch | None" = None,
        limit: "Limit | None" = None,
    ) -> None:
        self._dsn = dsn
        self._watch = watch
        self._limit = limit
        self._stream = stream
        self._look_up = look_up
        self._window = timedelta(seconds=operation_window)
        self._line = Line(dsn, {"lock_timeout": "250ms", **PLANS}, watch=watch)
        self._waiting: deque[Draft | Mark] = deque()
        self._in_flight: dict[tuple[int, int, str], Draft] = {}  # the first with its key; a copy rides along unseen
        self._first_tried: dict[tuple[int, int, str], int] = {}  # which copy of a key was first lost sight of
        self._lanes: dict[int, deque[Draft | Mark]] = {}
        self._lane_tasks: set[asyncio.Task[None]] = set()
        self._lane_turn = asyncio.Semaphore(LANES)
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._name = os.urandom(9).hex()
        self._numbers = count()
        self.batches = 0
        self.drafts = 0

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """What waits is still written; then nobody sends any more."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while (self._waiting or self._in_flight or self._lanes) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        for task in (self._task, *self._lane_tasks):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._line.close()

    def submit(self, draft: Draft | Mark) -> None:
        """Never waits; the draft's `answer` is called once, whatever becomes of it.

        Messages from everywhere meet here, so here they cost their sender a token (without sign-in, see middleware).
        """
        limit = self._limit
        if limit is None or isinstance(draft, Mark) or draft.session_id is None or limit.passes(draft.sender_id):
            self._accept(draft)
        else:
            limit.ask(draft.sender_id, partial(self._accept, draft), partial(self._settle, draft))

    def _accept(self, draft: Draft | Mark) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._settle(draft, Unavailable("Too much is waiting to be stored.", retry_after=1))
            return
        draft.since = asyncio.get_running_loop().time()
        if isinstance(draft, Draft):
            draft.number, draft.known = next(self._numbers), self._stream.tail.position
            letter = draft.letter or (GIVEN if draft.client_id else PLAIN)
            draft.key = f"{letter}:{draft.client_id or f'{self._name}{draft.number}'}"
            self._in_flight.setdefault(draft.place, draft)
        lane = self._lanes.get(draft.chat_id)
        (self._waiting if lane is None else lane).append(draft)
        self._news.set()

    async def answered(self, places: Sequence[tuple[int, int, str]]) -> Mapping[tuple[int, int, str], Draft]:
        """Drafts of ours that the tail came upon: wait until they have their answer, which goes before the event."""
        found = {place: self._in_flight[place] for place in places if place in self._in_flight}
        for draft in found.values():
            draft.watcher = draft.watcher or asyncio.get_running_loop().create_future()
        if found:
            await asyncio.wait([draft.watcher for draft in found.values() if draft.watcher], timeout=PATIENCE)
        return found

    def _settle(self, draft: Draft | Mark, verdict: Verdict) -> None:
        if draft.is_answered:
            return
        draft.is_answered = True
        try:
            draft.answer(verdict)
        except Exception:  # nothing after the commit may turn a send into an error
            log.exception("an answer could not be given")
        if isinstance(draft, Draft) and self._in_flight.get(draft.place) is draft:
            del self._in_flight[draft.place]
            if draft.watcher is not None and not draft.watcher.done():
                draft.watcher.set_result(None)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                began, batch = loop.time(), take_batch(self._waiting)
                await self._commit(self._line, batch)
                if self._waiting:
                    await self._gather(len(batch) + len(self._waiting), (loop.time() - began) * LINGER)

    async def _gather(self, company: int, seconds: float) -> None:
        """Who has just been answered is likely to go on talking: wait a moment for them, if the others are few.

        Otherwise people who talk at the same time fall into two halves that wait for each other, at twice the cost.
        """
        wanted = min(company, ENOUGH)
        until = asyncio.get_running_loop().time() + min(seconds, LONGEST_LINGER)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while len(self._waiting) < wanted:
                    self._news.clear()
                    await self._news.wait()

    async def _commit(self, line: Line, batch: Sequence[Draft | Mark]) -> None:
        sends = [draft for draft in batch if isinstance(draft, Draft)]
        try:
            await self._append(line, sends, [draft for draft in batch if isinstance(draft, Mark)])
        except LineLost:
            await self._try_again(batch)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            self._waiting.extendleft(reversed(batch))
        except asyncpg.LockNotAvailableError:
            await self._set_aside(batch)
        except Exception as error:
            await self._single_out(line, batch, error)

    async def _append(self, line: Line, sends: list[Draft], marks: list[Mark]) -> None:
        row = await self._write(line, sends, marks)
        self.batches += 1
        self.drafts += len(sends)
        entries = self._answer_sends(row, sends) if sends else []
        for mark, status, seq in zip(marks, row["r_status"] or (), row["r_seq"] or (), strict=True):
            self._settle(mark, seq if status == "read" else REFUSALS[status]())
        if row["last"] is not None:
            entries += receipts(row)
            self._stream.committed(entries, row["epoch"])
        if sends:
            await self._answer_replays(row, sends)

    async def _write(self, line: Line, sends: list[Draft], marks: list[Mark]) -> Any:
        if len(sends) == 1 and not marks and sends[0].is_plain:  # most of what people say
            one = sends[0]
            return await line.row(APPEND_LONE, one.chat_id, one.sender_id, one.session_id, one.key, one.text)
        return await line.row(
            APPEND,
            [draft.chat_id for draft in sends],
            [draft.sender_id for draft in sends],
            [draft.session_id for draft in sends],
            [draft.key for draft in sends],
            [draft.operation_id for draft in sends],
            [draft.text for draft in sends],
            [draft.reply_to for draft in sends],
            [mark.chat_id for mark in marks],
            [mark.reader_id for mark in marks],
            [mark.session_id for mark in marks],
            [mark.message_id for mark in marks],
            self._window,
        )

    def _answer_sends(self, row: Any, sends: list[Draft]) -> list[Entry]:
        """Acks first, in the order of the drafts; then their entries are ready to be published."""
        stamp = rfc3339(row["stamp"]) if row["stamp"] is not None else ""
        statuses = row["s_status"]
        # The new ones have the first positions of the batch, in the order of the drafts; receipts follow them.
        position = (row["last"] or 0) - statuses.count("new") - len(row["e_kind"] or ())
        entries = []
        for draft, status, seq, name in zip(sends, statuses, row["s_seq"], row["s_name"], strict=True):
            if status == "new":
                position += 1
                message = fresh(draft, position, seq, name, stamp)
                event = encode("new_message", row["epoch"], position, draft.chat_id, {"message": message})
                entries.append(
                    Entry(
                        position,
                        "new_message",
                        draft.chat_id,
                        event=event,
                        skip=draft.origin,
                        actor_id=draft.sender_id,
                        key=draft.key,
                    )
                )
                self._settle(draft, Sent(with_client_id(message, draft), replayed=False))
            elif status != "replayed":
                self._settle(draft, REFUSALS[status]())
        return entries

    async def _answer_replays(self, row: Any, sends: list[Draft]) -> None:
        """What had been stored before is shown as it is now."""
        verdicts = zip(sends, row["s_status"], row["s_id"], strict=True)
        replays = [(draft, position) for draft, status, position in verdicts if status == "replayed"]
        if not replays:
            return
        try:
            found = await self._look_up([position for _, position in replays])
        except Unavailable as error:
            for draft, _ in replays:
                self._settle(draft, error)
            return
        for draft, position in replays:
            is_ours = self._has_stored(draft, position)
            if is_ours and draft.origin is not None:
                self._stream.answered(position, draft.origin)
            self._settle(draft, Sent(with_client_id(found[position].message, draft), replayed=not is_ours))

    def _has_stored(self, draft: Draft, position: int) -> bool:
        """Found stored after a lost connection: most likely by this very copy, which is then no replay to its client.

        Not by it if an earlier copy was tried here, or if it was there when this one came.
        """
        first = self._first_tried.get(draft.place, draft.number)
        return draft.was_tried and draft.number == first and position > draft.known

    def _lose_sight_of(self, batch: Sequence[Draft | Mark]) -> None:
        """Nobody knows whether these were stored."""
        for draft in batch:
            draft.was_tried = True
            if isinstance(draft, Draft) and draft.client_id is not None:
                self._first_tried.setdefault(draft.place, draft.number)
        for place in list(islice(self._first_tried, max(0, len(self._first_tried) - MOST_WAITING))):
            del self._first_tried[place]

    async def _try_again(self, batch: Sequence[Draft | Mark]) -> None:
        now = asyncio.get_running_loop().time()
        self._lose_sight_of(batch)
        for draft in batch:
            if now - draft.since > PATIENCE:
                self._settle(
                    draft, Unavailable("Unknown whether this was stored; send it again with its key.", retry_after=1)
                )
        self._waiting.extendleft(draft for draft in reversed(batch) if not draft.is_answered)
        await asyncio.sleep(0.05)

    async def _set_aside(self, batch: Sequence[Draft | Mark]) -> None:
        """Some chat of the batch is locked by a stranger: it goes on in a lane of its own, the others at once."""
        try:
            free = {row["id"] for row in await self._line.rows(FREE, sorted({draft.chat_id for draft in batch}))}
        except LineLost:
            await self._try_again(batch)
            return
        self._waiting.extendleft(reversed([draft for draft in batch if draft.chat_id in free]))
        for chat_id in dict.fromkeys(draft.chat_id for draft in batch if draft.chat_id not in free):
            lane = self._lanes[chat_id] = deque(draft for draft in batch if draft.chat_id == chat_id)
            # What waits for this chat already must not overtake.
            lane.extend(draft for draft in self._waiting if draft.chat_id == chat_id)
            self._waiting = deque(draft for draft in self._waiting if draft.chat_id != chat_id)
            task = asyncio.create_task(self._empty_lane(chat_id, lane))
            self._lane_tasks.add(task)
            task.add_done_callback(self._lane_tasks.discard)

    async def _empty_lane(self, chat_id: int, lane: deque[Draft | Mark]) -> None:
        async with self._lane_turn:
            line = Line(self._dsn, {"lock_timeout": "2s", **PLANS}, watch=self._watch)
            try:
                while lane:
                    batch = take_batch(lane)
                    try:
                        marks = [draft for draft in batch if isinstance(draft, Mark)]
                        await self._append(line, [draft for draft in batch if isinstance(draft, Draft)], marks)
                    except (
                        asyncpg.LockNotAvailableError,
                        asyncpg.DeadlockDetectedError,
                        asyncpg.SerializationError,
                    ):
                        lane.extendleft(reversed(self._still_patient(batch)))
                    except LineLost:
                        self._lose_sight_of(batch)
                        lane.extendleft(reversed(self._still_patient(batch)))
                        await asyncio.sleep(0.05)
                    except Exception:  # the ordinary way singles out what cannot be stored
                        lane.extendleft(reversed(batch))
                        break
            finally:
                del self._lanes[chat_id]
                self._waiting.extendleft(reversed(lane))
                self._news.set()
                line.close()

    def _still_patient(self, batch: Sequence[Draft | Mark]) -> list[Draft | Mark]:
        now = asyncio.get_running_loop().time()
        for draft in batch:
            if now - draft.since > LANE_PATIENCE:
                self._settle(draft, Unavailable("This chat is busy; send it again with its key.", retry_after=1))
        return [draft for draft in batch if not draft.is_answered]

    async def _single_out(self, line: Line, batch: Sequence[Draft | Mark], error: Exception) -> None:
        """Something in the batch cannot be stored at all: its neighbours must not suffer."""
        if len(batch) > 1:
            for draft in batch:
                await self._commit(line, [draft])
            return
        if isinstance(error, asyncpg.DataError):
            self._settle(batch[0], BadParameters("The message holds text that cannot be stored."))
        else:
            log.error("a draft could not be stored", exc_info=error)
            self._settle(batch[0], InternalError())


def take_batch(waiting: deque[Draft | Mark]) -> list[Draft | Mark]:
    """The next ones in their order. A second copy waits for the next batch, where the first is found stored."""
    batch: list[Draft | Mark] = []
    keys: set[tuple[int, int, str | int]] = set()
    while waiting and len(batch) < MOST_IN_BATCH:
        draft = waiting[0]
        if isinstance(draft, Draft) and (repeated := draft.repeated) is not None:
            key = (draft.chat_id, draft.sender_id, repeated)
            if key in keys:
                break
            keys.add(key)
        batch.append(waiting.popleft())
    return batch


def fresh(draft: Draft, position: int, seq: int, name: str, stamp: str) -> Message:
    return Message(
        message_id=str(position),
        id=str(position),
        chat_id=str(draft.chat_id),
        seq=seq,
        sender_id=str(draft.sender_id),
        sender_name=name,
        text=draft.text,
        sent_at=stamp,
        edited_at=None,
        deleted=False,
        reply_to=str(draft.reply_to) if draft.reply_to is not None else None,
        reactions=[],
        is_read=False,
    )


def with_client_id(message: Message, draft: Draft) -> Message:
    return msgspec.structs.replace(message, client_id=draft.client_id)


def receipts(row: Any) -> list[Entry]:
    """The entries that the batch's markers left, shown from their own ids."""
    kinds = row["e_kind"] or ()
    first = row["last"] - len(kinds) + 1
    entries = []
    for position, kind, chat_id, raw in zip(
        count(first), kinds, row["e_chat"] or (), row["e_data"] or (), strict=False
    ):
        data = msgspec.json.decode(raw)
        event = encode(kind, row["epoch"], position, chat_id, receipt_fields(kind, data))
        entries.append(Entry(position, kind, chat_id, data=data, event=event))
    return entries


def receipt_fields(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    if kind == "message_read_by_all":
        return {**data, "message_id": str(data["message_id"])}
    return {
        "reads": [
            {"user_id": str(user_id), "from_seq": from_seq, "to_seq": to_seq, "message_id": str(message_id)}
            for user_id, from_seq, to_seq, message_id in data["reads"]
        ]
    }


SENDER: web.AppKey[Sender] = web.AppKey("sender", Sender)


async def context(root: web.Application) -> AsyncIterator[None]:
    config = root[CONFIG]
    dsn = str(config.database.direct_url) or root[DATABASE].dsn

    limit = root[LIMITS].send if LIMITS in root else None
    sender = Sender(dsn, root[LOG], root[HISTORY].current, config.operation_id_window, root[WATCH], limit)
    root[SENDER] = sender
    await sender.start()
    yield
    await sender.stop()
