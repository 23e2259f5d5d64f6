"""Sending: a batch of drafts and read marks becomes one statement, and its result becomes acks and events.

The appender of the log gathers the batches and retries them; this file writes the statement and gives the answers.
Acks and events leave after the commit, in the order of the positions.
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import asyncpg
import msgspec
from aiohttp import web

from messenger.apps.messages.history import HISTORY
from messenger.apps.messages.recheck import keep_rechecking
from messenger.apps.messages.schemas import ENTRANCES, CurrentMessage, Message, Outgoing, key_prefix
from messenger.db.connection import ReconnectingConnection
from messenger.db.liveness import Liveness
from messenger.errors import (
    ChatNotFound,
    IdempotencyConflict,
    MessageNotFound,
    MessengerError,
    SessionRevoked,
    Unavailable,
)
from messenger.log.appender import PATIENCE, Appender, Queued
from messenger.log.entries import ENCODER, Entry, Listener, encode, encode_message
from messenger.log.known import HARMLESS, Places, Seat
from messenger.log.log import Log
from messenger.text import rfc3339
from messenger.web.access import LIMITS, Limit
from messenger.web.app_keys import CONFIG, DATABASE, LIVENESS, LOG
from messenger.web.figures import SENDING

log = logging.getLogger(__name__)

APPEND = "select * from log_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
APPEND_LONE = "select * from log_append_lone($1, $2, $3, $4, $5, $6)"
APPEND_KNOWN = (
    f"select * from log_append_known($1, $2, '{{{','.join(HARMLESS)}}}', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
)
APPEND_KNOWN_LONE = "select * from log_append_known_lone($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
KEYS = "messages_key_idx"  # what a repeat collides with
SHORT_PAUSE, LONG_PAUSE = 0.01, 1.0  # while others write too, memory is not tried
REFUSALS: dict[str, type[MessengerError]] = {
    "chat-not-found": ChatNotFound,
    "session-revoked": SessionRevoked,
    "message-not-found": MessageNotFound,
    "idempotency-conflict": IdempotencyConflict,
}


class Sent(msgspec.Struct, frozen=True):
    """A stored message as it is now. `replayed`: it had been stored before."""

    message_id: str
    words: bytes  # its JSON, as all see it
    client_id: str | None
    replayed: bool

    @property
    def json(self) -> msgspec.Raw:
        """As its sender sees it: with one field more."""
        return msgspec.Raw(b'%b,"client_id":%b}' % (self.words[:-1], ENCODER.encode(self.client_id)))

    @property
    def message(self) -> Message:
        return msgspec.json.decode(self.json, type=Message)


LookUp = Callable[[Sequence[int]], Awaitable[Mapping[int, CurrentMessage]]]  # messages as they are now
Verdict = Sent | int | MessengerError
Answer = Callable[[Verdict], None]
Origin = Listener  # gets the answer, so it must not get the event as well
FullKey = tuple[int, int, str]  # chat, sender and key of a message


@dataclass(slots=True, eq=False, kw_only=True)
class Draft(Queued):
    """A message on its way into the log."""

    sender_id: int
    session_id: int | None
    content: Outgoing
    answer: Answer
    origin: Origin | None = None
    key: str = ""
    copy_id: int | None = None  # tells whether this copy or another one with its key was stored
    is_acked: bool = False
    watcher: "asyncio.Future[None] | None" = None

    @property
    def full_key(self) -> FullKey:
        return self.chat_id, self.sender_id, self.key

    @property
    def seat(self) -> Seat:
        return self.chat_id, self.sender_id, self.session_id

    @property
    def is_plain(self) -> bool:
        """Not tried before, and nothing has to be looked up for it."""
        content = self.content
        return content.operation_id is None and content.reply_to is None and not (self.is_uncertain or self.goes_alone)

    @property
    def repeats(self) -> Hashable | None:
        content = self.content
        if content.client_id is not None:
            return self.chat_id, self.sender_id, content.client_id
        return None if content.operation_id is None else (self.chat_id, self.sender_id, content.operation_id)


@dataclass(slots=True, eq=False, kw_only=True)
class Mark(Queued):
    """A read marker on its way, up to this message. Its answer is the number it reached."""

    reader_id: int
    session_id: int | None
    message_id: int
    answer: Answer


class Sender:
    def __init__(
        self,
        dsn: str,
        stream: Log,
        look_up: LookUp,
        operation_window: float,
        liveness: Liveness | None = None,
        limit: Limit | None = None,
    ) -> None:
        self.appender: Appender[Draft | Mark] = Appender(self, dsn, liveness)
        self._limit = limit
        self._stream = stream
        self._look_up = look_up
        self._window = timedelta(seconds=operation_window)
        self._in_flight: dict[FullKey, Draft] = {}  # the first draft with each key; its copies are not listed
        self._prefix = os.urandom(9).hex()
        self._numbers = count()
        self._first_copy = int.from_bytes(os.urandom(7))  # random: no other process counts from near here
        self._pause, self._paused_until = 0.0, 0.0
        self.sent: Counter[tuple[str, bool]] = Counter()
        self.refused: Counter[str] = Counter()

    async def start(self) -> None:
        await self.appender.start()

    async def stop(self) -> None:
        await self.appender.stop()

    def submit(self, draft: Draft) -> None:
        """Never waits. The draft's `answer` is called exactly once, also when it fails.

        All messages pass here, so here each costs its sender a token (without sign-in, the middleware charges it).
        """
        limit = self._limit
        if limit is None or draft.session_id is None or limit.passes(draft.sender_id):
            self._accept(draft)
        else:
            limit.ask(draft.sender_id, partial(self._accept, draft), partial(self.refuse, draft))

    def mark(self, mark: Mark) -> None:
        self.appender.submit(mark)

    def _accept(self, draft: Draft) -> None:
        content, number = draft.content, next(self._numbers)
        draft.key = f"{key_prefix(content)}:{content.client_id or f'{self._prefix}{number}'}"
        if content.client_id is not None or content.operation_id is not None:
            draft.copy_id = self._first_copy + number
        self._in_flight.setdefault(draft.full_key, draft)
        self.appender.submit(draft)

    async def answered(self, keys: Sequence[FullKey]) -> Mapping[FullKey, Draft]:
        """The drafts of this process among entries that the tail has read. Waits for their acks, which go first."""
        found = {key: self._in_flight[key] for key in keys if key in self._in_flight}
        for draft in found.values():
            draft.watcher = draft.watcher or asyncio.get_running_loop().create_future()
        if found:
            await asyncio.wait([draft.watcher for draft in found.values() if draft.watcher], timeout=PATIENCE)
        # A sender that was answered `unavailable` meanwhile gets the event: nothing else tells it of the message.
        return {key: draft for key, draft in found.items() if draft.is_acked or not draft.is_answered}

    def refuse(self, draft: Draft | Mark, error: MessengerError) -> None:
        self._settle(draft, error)

    def _settle(self, draft: Draft | Mark, verdict: Verdict) -> None:
        if draft.is_answered:
            return
        draft.is_answered = True
        try:
            draft.answer(verdict)
        except Exception:  # after the commit, no failure may turn a send into an error
            log.exception("an answer could not be given")
        if isinstance(draft, Draft):
            draft.is_acked = isinstance(verdict, Sent)
            if not draft.is_borrowed:  # else the process that it came from counts it
                self._count(draft, verdict)
            if self._in_flight.get(draft.full_key) is draft:
                del self._in_flight[draft.full_key]
            if draft.watcher is not None and not draft.watcher.done():
                draft.watcher.set_result(None)

    def _count(self, draft: Draft, verdict: Verdict) -> None:
        if isinstance(verdict, Sent):
            self.sent[ENTRANCES[draft.content.way], verdict.replayed] += 1
        elif isinstance(verdict, MessengerError):
            self.refused[verdict.code] += 1

    # --- where another process writes

    def relayed(self, draft: Draft | Mark, verdict: Verdict) -> None:
        if isinstance(draft, Draft) and isinstance(verdict, Sent) and not (draft.is_answered or verdict.replayed):
            if draft.origin is not None:
                self._stream.answered(int(verdict.message_id), draft.origin)
        self._settle(draft, verdict)

    def awaits(self, entry: Entry) -> bool:
        """Is this the entry of a draft that is not answered yet?"""
        return (entry.chat_id, entry.actor_id, entry.key) in self._in_flight

    # --- a batch: an Owner of the appender

    async def write(self, connection: ReconnectingConnection, batch: Sequence[Draft | Mark]) -> None:
        sends = [draft for draft in batch if isinstance(draft, Draft)]
        marks = [draft for draft in batch if isinstance(draft, Mark)] if len(sends) < len(batch) else []
        forgotten = self._stream.known.forgotten
        row = await self._append(connection, sends, marks)
        entries = self._answer_sends(row, sends) if sends else []
        for mark, status, seq in zip(marks, row["r_status"] or (), row["r_seq"] or (), strict=True):
            self._settle(mark, seq if status == "read" else REFUSALS[status]())
        if row["last"] is not None:
            entries += receipt_entries(row)
            self._stream.committed(entries, row["epoch"])
            if self._stream.known.forgotten == forgotten:
                self._learn(row, sends)
        if sends and "replayed" in row["s_status"]:
            await self._answer_replays(row, sends)

    async def _append(self, connection: ReconnectingConnection, sends: Sequence[Draft], marks: Sequence[Mark]) -> Any:
        known = None if marks else await self._append_known(connection, sends)
        if known is not None:
            return known
        if len(sends) == 1 and not marks:  # the usual case
            one, content = sends[0], sends[0].content
            if content.operation_id is None and content.reply_to is None:
                return await connection.row(
                    APPEND_LONE, one.chat_id, one.sender_id, one.session_id, one.key, content.text, one.copy_id
                )
        return await connection.row(
            APPEND,
            [draft.chat_id for draft in sends],
            [draft.sender_id for draft in sends],
            [draft.session_id for draft in sends],
            [draft.key for draft in sends],
            [draft.content.operation_id for draft in sends],
            [draft.content.text for draft in sends],
            [draft.content.reply_to for draft in sends],
            [mark.chat_id for mark in marks],
            [mark.reader_id for mark in marks],
            [mark.session_id for mark in marks],
            [mark.message_id for mark in marks],
            self._window,
            [draft.copy_id for draft in sends],
        )

    async def _append_known(self, connection: ReconnectingConnection, sends: Sequence[Draft]) -> Any:
        """Without asking who may. None: nothing was stored, and the tables are to be asked."""
        if time.monotonic() < self._paused_until or not all(draft.is_plain for draft in sends):
            return None
        known, epoch = self._stream.known, self._stream.followed_to.epoch
        places = known.place(draft.seat for draft in sends)
        if places is None:
            return None
        try:
            row = await connection.row(*known_call(known.position, epoch, sends, places))
        except asyncpg.SerializationError:
            self._pause = min(max(2 * self._pause, SHORT_PAUSE), LONG_PAUSE)
            self._paused_until = time.monotonic() + self._pause
            return None
        except (asyncpg.AssertError, asyncpg.UniqueViolationError) as error:
            if error.constraint_name != KEYS:
                log.error("what was remembered of chats=%s was wrong: %s", {draft.chat_id for draft in sends}, error)
                self._stream.forget()
            return None
        self._pause = 0.0
        nothing = [None] * len(sends)
        return {
            **dict.fromkeys(("r_status", "r_seq", "e_kind", "e_chat", "e_data")),
            "s_status": ["new"] * len(sends),
            "s_id": nothing,
            "s_seq": places.seqs,
            "s_name": places.names,
            "s_stored_by": nothing,
            "s_floor": nothing,
            "last": row["last"],
            "stamp": row["stamp"],
            "epoch": epoch,
        }

    def _learn(self, row: Any, sends: Sequence[Draft]) -> None:
        """What the batch found true may be taken for known by the next ones."""
        if row["epoch"] != self._stream.followed_to.epoch:
            return
        known, last = self._stream.known, row["last"]
        for draft, status, seq, name, floor in zip(
            sends, row["s_status"] or (), row["s_seq"] or (), row["s_name"] or (), row["s_floor"] or (), strict=True
        ):
            if status == "new":
                known.learn(draft.seat, name, seq, floor, last)

    def _answer_sends(self, row: Any, sends: Sequence[Draft]) -> list[Entry]:
        """Gives the acks, in the order of the drafts. Returns the entries to publish after them."""
        stamp = rfc3339(row["stamp"]) if row["stamp"] is not None else ""
        statuses = row["s_status"]
        # The new ones have the first positions of the batch, in the order of the drafts; receipts follow them.
        position = (row["last"] or 0) - statuses.count("new") - len(row["e_kind"] or ())
        entries = []
        for draft, status, seq, name in zip(sends, statuses, row["s_seq"], row["s_name"], strict=True):
            if status == "new":
                position += 1
                message = draft_as_message(draft, position, seq, name, stamp)
                words = ENCODER.encode(message)
                self._settle(draft, Sent(message.message_id, words, draft.content.client_id, replayed=False))
                entries.append(
                    Entry(
                        position,
                        "new_message",
                        draft.chat_id,
                        event=encode_message(row["epoch"], position, draft.chat_id, words),
                        skip=draft.origin if draft.is_acked else None,
                        actor_id=draft.sender_id,
                        at=row["stamp"],
                        key=draft.key,
                    )
                )
            elif status != "replayed":
                self._settle(draft, REFUSALS[status]())
        return entries

    async def _answer_replays(self, row: Any, sends: Sequence[Draft]) -> None:
        """Messages that had been stored before are answered as they are now."""
        verdicts = zip(sends, row["s_status"], row["s_id"], row["s_stored_by"], strict=True)
        replays = [
            (draft, position, copy_id)
            for draft, status, position, copy_id in verdicts
            if status == "replayed" and not draft.is_answered
        ]
        try:
            found = await self._look_up([position for _, position, _ in replays])
        except Unavailable as error:
            for draft, _, _ in replays:
                self._settle(draft, error)
            return
        for draft, position, copy_id in replays:
            # This very copy was stored and its answer was lost: for its client it is not a replay.
            is_first = copy_id == draft.copy_id
            if is_first and draft.origin is not None and not draft.is_answered:
                self._stream.answered(position, draft.origin)
            words = ENCODER.encode(found[position].message)
            self._settle(draft, Sent(str(position), words, draft.content.client_id, replayed=not is_first))


def known_call(position: int, epoch: str, sends: Sequence[Draft], places: Places) -> tuple[Any, ...]:
    """The statement and its arguments."""
    if len(sends) == 1:
        one = sends[0]
        return (
            *(APPEND_KNOWN_LONE, position, epoch, one.chat_id, one.sender_id, places.seqs[0], one.key),
            *(one.content.text, one.copy_id, places.markers[0], places.floors[0], places.leaving[0]),
        )
    return (
        *(APPEND_KNOWN, position, epoch),
        [draft.chat_id for draft in sends],
        [draft.sender_id for draft in sends],
        places.seqs,
        [draft.key for draft in sends],
        [draft.content.text for draft in sends],
        [draft.copy_id for draft in sends],
        *(places.markers, places.befores, places.floors, places.leaving),
    )


def draft_as_message(draft: Draft, position: int, seq: int, name: str, stamp: str) -> Message:
    content = draft.content
    return Message(
        message_id=(message_id := str(position)),
        id=message_id,
        chat_id=str(draft.chat_id),
        seq=seq,
        sender_id=str(draft.sender_id),
        sender_name=name,
        text=content.text,
        sent_at=stamp,
        edited_at=None,
        deleted=False,
        reply_to=str(content.reply_to) if content.reply_to is not None else None,
        reactions=[],
        is_read=False,
    )


def receipt_entries(row: Any) -> list[Entry]:
    """The entries of the batch's read marks, rendered from what they carry."""
    kinds = row["e_kind"]
    if not kinds:
        return []
    first = row["last"] - len(kinds) + 1
    entries = []
    for position, kind, chat_id, raw in zip(
        count(first), kinds, row["e_chat"] or (), row["e_data"] or (), strict=False
    ):
        data = msgspec.json.decode(raw)
        event = encode(kind, row["epoch"], position, chat_id, receipt_fields(kind, data))
        entries.append(Entry(position, kind, chat_id, data=data, at=row["stamp"], event=event))
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
    sender = Sender(dsn, root[LOG], root[HISTORY].current, config.operation_id_window, root[LIVENESS], limit)
    root[SENDER] = root[SENDING] = sender
    await sender.start()
    connection = ReconnectingConnection(dsn, liveness=root[LIVENESS])
    rechecking = asyncio.create_task(keep_rechecking(connection, root[LOG]))
    yield
    rechecking.cancel()
    with suppress(asyncio.CancelledError):
        await rechecking
    connection.close()
    await sender.stop()
