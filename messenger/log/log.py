"""The log in one process: the tail, the listeners, the wire and the replays, started and stopped together."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from messenger.db.connection import ConnectionLost, ConnectionSet, ReconnectingConnection
from messenger.db.liveness import Liveness
from messenger.log import wires
from messenger.log.entries import Cursor, Entry, Render, render_nothing
from messenger.log.hub import Hub, Listener
from messenger.log.replay import Reader, Sink, Subscription
from messenger.log.retention import keep_pruning
from messenger.log.tail import HEAD, Tail

READERS = 4  # connections for those who come back, so that nobody queues behind the slowest
GATHER = 0.001  # seconds: where people come while a look goes on, more will come, and one look serves them all
# What is asked after every doorbell is not planned anew each time, which would take longer than to read it.
PLANS = {"plan_cache_mode": "force_generic_plan"}
PATIENCE = 1.0  # for the tail to reach what is there; after that the caller reads the database itself


class Log:
    def __init__(
        self,
        dsn: str,
        *,
        wire: str,
        redis_url: str,
        retention_days: int,
        render: Render = render_nothing,
        watch: Liveness | None = None,
    ) -> None:
        self.hub = Hub()
        self._line = ReconnectingConnection(dsn, PLANS, watch=watch)
        self._readers = ConnectionSet(dsn, READERS, watch=watch)
        self._looking = ReconnectingConnection(dsn, PLANS, watch=watch)
        self._looked_at = 0.0  # when the last look that was reached began
        self._this_look: asyncio.Task[None] | None = None
        self._next_look: asyncio.Task[None] | None = None
        self.tail = Tail(self._line, self.hub, render)
        self.reader = Reader(self._readers, self.tail)
        self.wire = wires.make(wire, dsn, redis_url)
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
        for lines in (self._line, self._readers, self._looking):
            lines.close()

    def cursor(self, position: int) -> Cursor:
        return Cursor(self.tail.epoch, position)

    def committed(self, entries: Sequence[Entry], epoch: str) -> None:
        """Own entries, shown already: to the listeners here at once, and the others are rung."""
        if epoch == self.tail.epoch:  # else the tail has to find out where the logs part before anything is told
            self.tail.committed(entries)
        else:
            self.tail.look()
        if entries:
            self.wire.ring(entries[-1].position)

    def answered(self, position: int, origin: Listener) -> None:
        """This listener has its answer already: an ack, and not the event as well."""
        self.tail.answered(position, origin)

    def heard_commit(self, position: int) -> None:
        """An ordinary transaction of this process wrote entries up to here."""
        self.tail.heard(position)
        self.wire.ring(position)

    async def moves(self, beyond: int, within: float) -> None:
        """Wait until this process knows of something later, or for so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.tail.passed(beyond)

    def subscribe(self, user_id: int, session_id: int, sink: Sink) -> Subscription:
        return Subscription(self.hub, self.reader, user_id, session_id, sink)

    def note(self, chat_id: int, author: int, event: bytes) -> None:
        """Passing news: to the listeners here and, by the wire, elsewhere."""
        self.hub.note(chat_id, event, author)
        self.wire.say(b"%d %d " % (chat_id, author) + event)

    async def barrier(self, since: float | None = None) -> None:
        """Wait until this process has followed the log to a head read now: what memory knows is then fresh.

        One read serves all who came before it began. `since`: by the monotonic clock, when the caller came.
        """
        if since is not None and since < self._looked_at:
            return
        if self._next_look is None:
            self._next_look = asyncio.create_task(self._look(self._this_look))
        await asyncio.shield(self._next_look)

    async def _look(self, before: "asyncio.Task[None] | None") -> None:
        if before is not None and not before.done():
            await asyncio.wait({before})
            await asyncio.sleep(GATHER)
        self._this_look, self._next_look = self._next_look, None  # who comes from now on needs another one
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                head = await self._looking.row(HEAD)
                await self.tail.is_in(head["epoch"])
                await self.tail.reach(head["position"])
        except TimeoutError:
            raise ConnectionLost from None
        self._looked_at = began

    @property
    def place(self) -> Cursor:
        """What is read from now on knows everything up to here."""
        return self.cursor(self.tail.position)

    def is_quiet(self, since: Cursor, *, chat_id: int | None = None, user_id: int | None = None) -> bool:
        """Does what was read then still hold, as far as this process has followed the log?"""
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
            self.tail.look()  # the wire was away, so nobody knows what was missed

    def _noted(self, note: bytes) -> None:
        chat_id, author, event = note.split(b" ", 2)
        self.hub.note(int(chat_id), event, int(author))
