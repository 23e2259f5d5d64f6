"""The log in one process: the tail, the listeners, the wire and the replays, started and stopped together."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from messenger.log import wires
from messenger.log.entries import Cursor, Entry, Show
from messenger.log.hub import Hub, Listener
from messenger.log.line import Line
from messenger.log.replay import Reader, Sink, Subscription
from messenger.log.retention import keep_pruning
from messenger.log.tail import HEAD, Tail


class Log:
    def __init__(
        self, dsn: str, *, wire: str, redis_url: str, retention_days: int, shows: Mapping[str, Show], tools: Any
    ) -> None:
        self.hub = Hub()
        self._line = Line(dsn)
        self._reading = Line(dsn)
        self.tail = Tail(self._line, self.hub, shows, tools)
        self.reader = Reader(self._reading, self.tail)
        self.wire = wires.make(wire, dsn, redis_url)
        self._retention_days = retention_days
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self.tail.run()),
            asyncio.create_task(keep_pruning(self._reading, self._retention_days)),
        ]
        await self.wire.start(self._rung, self._noted)

    async def stop(self) -> None:
        await self.wire.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._line.close()
        self._reading.close()

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

    def subscribe(self, user_id: int, session_id: int, sink: Sink) -> Subscription:
        return Subscription(self.hub, self.reader, user_id, session_id, sink)

    def note(self, chat_id: int, author: int, event: bytes) -> None:
        """Passing news: to the listeners here and, by the wire, elsewhere."""
        self.hub.note(chat_id, event, author)
        self.wire.say(b"%d %d " % (chat_id, author) + event)

    async def barrier(self) -> None:
        """Wait until this process has followed the log to a head read now: what memory knows is then fresh."""
        head = await self._reading.row(HEAD)
        await self.tail.reach(head["position"])

    def _rung(self, position: int) -> None:
        # 0: the wire was away, so nobody knows what was missed.
        self.tail.heard(position or self.tail.position + 1)

    def _noted(self, note: bytes) -> None:
        chat_id, author, event = note.split(b" ", 2)
        self.hub.note(int(chat_id), event, int(author))
