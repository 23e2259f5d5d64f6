"""The log in one process: the tail, the listeners, the wire and the replays, started and stopped together."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from messenger.db.connection import ConnectionLost, ConnectionSet, ReconnectingConnection
from messenger.db.liveness import Liveness
from messenger.db.together import Together
from messenger.log import wires
from messenger.log.entries import Cursor, Entry, Listener, Render, render_nothing
from messenger.log.hub import Hub
from messenger.log.known import Known
from messenger.log.replay import Reader, Sink, Subscription
from messenger.log.retention import keep_pruning
from messenger.log.tail import HEAD, Tail

READERS = 4  # connections for replays, so that one slow replay does not delay the others
# Planning these short statements anew each time would take longer than executing them.
PLANS = {"plan_cache_mode": "force_generic_plan"}
PATIENCE = 1.0  # for the tail to reach the head; after that the caller reads the database itself


class Log:
    def __init__(
        self,
        dsn: str,
        *,
        wire: str,
        redis_url: str,
        retention_days: int,
        render: Render = render_nothing,
        liveness: Liveness | None = None,
    ) -> None:
        self.hub = Hub()
        self._tail_connection = ReconnectingConnection(dsn, PLANS, liveness=liveness)
        self._readers = ConnectionSet(dsn, READERS, liveness=liveness)
        self._head_connection = ReconnectingConnection(dsn, PLANS, liveness=liveness)
        self._reached_at = 0.0  # when the read began of the last head that the tail has reached
        self._following: Together[None, None] = Together(self._follow_to_head)
        self.tail = Tail(self._tail_connection, self.hub, render)
        self.reader = Reader(self._readers, self.tail)
        self.wire = wires.make(wire, dsn, redis_url)
        # May tell other processes directly what this one has committed, and says how many those are.
        self.on_commit: Callable[[Sequence[Entry], str], int] = lambda entries, epoch: 0
        self._retention_days = retention_days
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self.tail.run()),
            asyncio.create_task(keep_pruning(self._readers, self._retention_days)),
        ]
        await self.wire.start(self._rung, self._noted)

    async def stop(self) -> None:
        await self.wire.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in (self._tail_connection, self._readers, self._head_connection):
            connection.close()
        await self._following.stop()

    def cursor(self, position: int) -> Cursor:
        return Cursor(self.tail.epoch, position)

    def committed(self, entries: Sequence[Entry], epoch: str) -> None:
        """Own entries, with their events: the listeners here get them at once, other processes are rung."""
        told = self.on_commit(entries, epoch)
        self._publish(entries, epoch)
        if entries:
            self.wire.ring(entries[-1].position, told)

    def followed(self, entries: Sequence[Entry], epoch: str, upto: int) -> None:
        """Entries of another process, with their events, of a batch that reaches up to a position."""
        self._publish(entries, epoch)
        self.tail.heard(upto)

    def _publish(self, entries: Sequence[Entry], epoch: str) -> None:
        if epoch == self.tail.epoch:  # else the tail must find out first where the logs part
            self.tail.committed(entries)
        else:
            self.tail.fetch_soon()

    def answered(self, position: int, origin: Listener) -> None:
        """This listener has its ack and gets no event as well."""
        self.tail.answered(position, origin)

    def heard_commit(self, position: int) -> None:
        """A transaction of this process has written entries up to here."""
        self.tail.heard(position)
        self.wire.ring(position)

    async def moves(self, beyond: int, within: float) -> None:
        """Wait until something later is published here, or for so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.tail.pass_by(beyond)

    def subscribe(self, user_id: int, session_id: int, sink: Sink) -> Subscription:
        return Subscription(self.hub, self.reader, user_id, session_id, sink)

    def note(self, chat_id: int, author: int, event: bytes) -> None:
        """An event without a position: for the listeners here and, by the wire, in other processes."""
        self.hub.note(chat_id, event, author)
        self.wire.say(b"%d %d " % (chat_id, author) + event)

    async def barrier(self, since: float | None = None) -> None:
        """Wait until this process has followed the log to a head read from now on: then its memory is up to date.

        One read serves all callers that came before it began. `since`: when the caller came, by the monotonic clock.
        """
        if since is not None and since < self._reached_at:
            return
        await self._following.answer(None)

    async def _follow_to_head(self, waiting: list[None]) -> list[None]:
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                head = await self._head_connection.row(HEAD)
                await self.tail.reach_epoch(head["epoch"])
                await self.tail.reach(head["position"])
        except TimeoutError:
            raise ConnectionLost from None
        self._reached_at = began
        return waiting

    @property
    def followed_to(self) -> Cursor:
        """What is read from now on includes everything up to here."""
        return self.cursor(self.tail.position)

    @property
    def known(self) -> Known:
        """Who may speak where, as far as this process has followed the log."""
        return self.tail.known

    def forget(self) -> None:
        """Whatever is remembered of anything may be wrong."""
        self.tail.recent.begin(self.tail.position)
        self.tail.known.forget()

    def is_quiet(self, since: Cursor, *, chat_id: int | None = None, user_id: int | None = None) -> bool:
        """Has nothing been published here about this chat and person since then?"""
        if since.epoch != self.tail.epoch:
            return False
        recent = self.tail.recent
        if chat_id is not None and recent.of_chat(chat_id) > since.position:
            return False
        return user_id is None or recent.of_person(user_id) <= since.position

    def _rung(self, position: int) -> None:
        if position:
            self.tail.heard(position)
        else:
            self.tail.fetch_soon()  # the wire was away, and doorbells may be lost

    def _noted(self, note: bytes) -> None:
        chat_id, author, event = note.split(b" ", 2)
        self.hub.note(int(chat_id), event, int(author))
