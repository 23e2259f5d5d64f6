"""A listener of the log for responses: a bounded queue between the hub and the response."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import msgspec

from messenger.db.connection import ConnectionLost
from messenger.errors import BadCursor, MessengerError, SessionRevoked, Unavailable
from messenger.identity import Identity
from messenger.log.entries import Cursor, Entry, Run
from messenger.log.log import Log

MOST_WAITING = 256


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """The bytes that every transport sends, and their cursor."""

    kind: str
    words: bytes
    cursor: str


class Stream:
    """Events from a cursor on, then live ones as they come. Ends with the session, or when its reader is too slow."""

    def __init__(self, log: Log, me: Identity) -> None:
        self._log = log
        self._me = me
        self._live: list[StreamedEvent] = []  # bounded by `take`
        self._has_news = asyncio.Event()
        self._handed_out: int | None = None  # the position, while the subscription is further
        self.subscription = log.subscribe(me.user_id, me.session_id, self)
        self.over: MessengerError | None = None  # why it ends

    # --- the log's side: a Sink

    def take(self, entry: Entry) -> None:
        if self.over is None:
            if len(self._live) >= MOST_WAITING:
                self._handed_out = entry.position - 1
                self._stop(Unavailable("Events gathered faster than they were read."))
            else:
                self._live.append(self._event(entry))
                self._has_news.set()

    def take_run(self, run: Run) -> None:
        for entry in run.entries:
            self.take(entry)

    def take_note(self, note: bytes) -> None:
        """Notes have no cursor, so a stream that is resumed by cursor has none."""

    def end(self) -> None:
        self._stop(SessionRevoked())

    def restart(self) -> None:
        """Also when the server stops: the reader comes back with its cursor."""
        self._stop(Unavailable("The stream begins anew.", retry_after=1))

    def _stop(self, why: MessengerError) -> None:
        if self.over is None:
            self.over = why
            self._has_news.set()

    # --- the reader's side

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[int]:
        """Listening; answers the head at which the memberships were read."""
        try:
            head = await self.subscription.attach()
            if self.over is not None:
                raise self.over
            yield head
        except ConnectionLost:
            raise Unavailable(retry_after=1) from None
        finally:
            self.subscription.detach()

    async def missed(self, cursor: Cursor | None, head: int) -> AsyncGenerator[list[StreamedEvent], None]:
        """What lies between the cursor and now, page by page; after the last one the stream is live."""
        after, passed, upto = head, [], 0
        if cursor is not None:
            missed = await self._log.reader.missed(self._me.user_id, cursor)
            after, upto = cursor.position, missed.head
            if missed.resync:
                after = self._handed_out = missed.head
                yield [self._named({"type": "resync", "reason": missed.resync}, self.cursor)]
            passed = [one.chat_id for one in missed.limited]
            if passed:
                yield [self._named({"type": "limited", **one.fields()}, str(cursor)) for one in missed.limited]
        async for page in self.subscription.catch_up(after, passed=passed, passed_upto=upto, at_end=self._goes_live):
            if self.over is not None:
                return
            if not self.subscription.is_live and page:
                self._handed_out = page[-1].position
            yield [self._event(entry) for entry in page if entry.event]

    async def next_batch(self, seconds: float) -> list[StreamedEvent] | None:
        """What has come, or comes first within this time; None: it is over, and everything was handed out."""
        if self.over is None and not self._live:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._has_news.wait()
        found = self.waiting()
        return None if self.over is not None and not found else found

    def waiting(self) -> list[StreamedEvent]:
        """What has come already."""
        found, self._live = self._live, []
        self._has_news.clear()
        return found

    @property
    def cursor(self) -> str:
        """Everything up to here has been handed out."""
        position = self.subscription.position if self._handed_out is None else self._handed_out
        return str(self._log.cursor(position))

    def _goes_live(self) -> None:
        self._handed_out = None

    def _event(self, entry: Entry) -> StreamedEvent:
        return StreamedEvent(entry.kind, entry.event, str(self._log.cursor(entry.position)))

    @staticmethod
    def _named(fields: dict[str, object], cursor: str) -> StreamedEvent:
        return StreamedEvent(str(fields["type"]), msgspec.json.encode({**fields, "cursor": cursor}), cursor)


def read_cursor(raw: str | None) -> Cursor | None:
    if raw is None or raw == "":
        return None
    found = Cursor.find(raw)
    if found is None:
        raise BadCursor
    return found
