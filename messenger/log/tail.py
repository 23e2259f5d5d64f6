"""Follows the log in position order and publishes it to this process' listeners.

Own commits and the wire bring positions early; whatever is missing is read from the database before anything later
goes out. Losing every doorbell costs time (the poll), never an entry.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from messenger.db.connection import ConnectionLost, ReconnectingConnection
from messenger.errors import Unavailable
from messenger.log.entries import Entry, Render, encode
from messenger.log.hub import Hub, Listener
from messenger.log.recent import Recent

log = logging.getLogger(__name__)

QUIET_POLL = 0.25  # when no position came for so long
FETCH = 1000
EPOCH_PATIENCE, EPOCH_STEP = 1.0, 0.01
AT_ONCE = 200  # published before the listeners get a turn: less than what one of them may have waiting
HEAD = "select position, epoch from log_head order by position desc limit 1"
# Head and entries in one snapshot: after it the tail stands at the head, whatever rows there were.
FETCH_AFTER = """
    select h.position as head, h.epoch, l.position, l.kind, l.topic_chat, l.topic_user, l.actor_id, l.subject_id,
           l.data, l.at
      from (select position, epoch from log_head order by position desc limit 1) h
      left join lateral (select * from log where position > $1 order by position limit $2) l
        on l.position <= h.position
     order by l.position
"""

# Where the log that was followed until now ended; an epoch that nobody knows shares nothing with it.
PARTED = """
    select coalesce((select min(later.after_position) from log_epochs mine
                       join log_epochs later on later.number > mine.number where mine.epoch = $1), 0) as at
"""


class Tail:
    def __init__(self, line: ReconnectingConnection, hub: Hub, render: Render) -> None:
        self._line = line
        self._hub = hub
        self._render = render
        self.recent = Recent()
        self._early: dict[int, Entry] = {}  # own commits that wait for what lies before them
        self._answered: dict[int, Listener] = {}  # who has the answer to its own send and must not hear it as well
        self._target = 0  # the furthest position heard of
        self._news = asyncio.Event()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self.epoch = ""
        self.ready = asyncio.Event()

    @property
    def position(self) -> int:
        return self._hub.position

    async def start(self) -> None:
        head = await self._line.row(HEAD)
        self._hub.position, self.epoch = head["position"], head["epoch"]
        self.recent.begin(self._hub.position)
        self.ready.set()

    async def is_in(self, epoch: str) -> None:
        """What was just read is of this epoch; cursors made of it would be wrong while the tail is still elsewhere."""
        until = asyncio.get_running_loop().time() + EPOCH_PATIENCE
        while epoch != self.epoch:
            if asyncio.get_running_loop().time() > until:
                raise ConnectionLost
            self.look()
            await asyncio.sleep(EPOCH_STEP)

    async def run(self) -> None:
        """For as long as the process lives."""
        while True:
            try:
                if not self.ready.is_set():
                    await self.start()
                await self._follow()
            except Unavailable:  # to this connection, or to what renders an entry
                await asyncio.sleep(QUIET_POLL)
            except Exception:
                log.exception("the tail stumbled and goes on at position=%s", self.position)
                await asyncio.sleep(QUIET_POLL)

    def committed(self, entries: Sequence[Entry]) -> None:
        """Own entries, shown already. In order they go out at once, without a read and without a task."""
        for entry in entries:
            if entry.position == self._hub.position + 1:
                self._publish(entry)
            elif entry.position > self._hub.position:
                self._early[entry.position] = entry
        self._publish_early()
        self._tell_waiters()
        if entries:
            self.heard(entries[-1].position)

    def answered(self, position: int, origin: Listener) -> None:
        """Only the database told of this own entry, and its sender has the answer: no event for it as well."""
        if position > self._hub.position:
            self._answered[position] = origin

    def heard(self, position: int) -> None:
        """A doorbell: the log reaches at least so far."""
        self._target = max(self._target, position)
        if self._target > self._hub.position:
            self._news.set()

    def look(self) -> None:
        """Something is not as it was: fetch now."""
        self._news.set()

    async def reach(self, position: int) -> None:
        """Wait until everything up to a position has been published here."""
        if self._hub.position < position:
            reached = asyncio.get_running_loop().create_future()
            self._waiting.append((position, reached))
            self.heard(position)
            await reached

    async def passed(self, position: int) -> None:
        """Wait until something beyond a position has been published here, without asking for it."""
        if self._hub.position <= position:
            moved = asyncio.get_running_loop().create_future()
            self._waiting.append((position + 1, moved))
            await moved

    async def _follow(self) -> None:
        while True:
            try:
                async with asyncio.timeout(QUIET_POLL):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            while await self._fetch():
                pass

    async def _fetch(self) -> bool:
        """Read and publish what is missing; is there perhaps more?"""
        before, rung = self._hub.position, self._target
        rows = await self._line.rows(FETCH_AFTER, before, FETCH)
        head, epoch = rows[0]["head"], rows[0]["epoch"]
        if head < rung == self._target:
            self._target = head  # that doorbell was mistaken; nobody looks for what is not there again and again
        entries = [read_entry(row) for row in rows if row["position"] is not None]
        if epoch != self.epoch:
            await self._change_epoch(epoch)
            return True
        upto = entries[-1].position if len(entries) == FETCH else head
        # Nobody here hears most of what others write; who joins a chat in these very entries will hear what follows.
        joined = {entry.chat_id for entry in entries if entry.kind == "member_added"}
        heard = [entry for entry in entries if entry.chat_id in joined or self._hub.is_heard(entry)]
        await self.show([entry for entry in heard if entry.position not in self._early])
        for number, entry in enumerate(entries, 1):
            # While this was read, own commits may have come by the short way.
            if entry.position > self._hub.position:
                self._publish(self._early.pop(entry.position, entry))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        self._hub.position = max(
            self._hub.position, upto
        )  # what lies between was pruned or erased: a hole stops nobody
        self._publish_early()
        self._tell_waiters()
        return len(entries) == FETCH or self._target > self._hub.position

    async def _change_epoch(self, epoch: str) -> None:
        """Another server writes the log now. What was published beyond the point where the two part never happened."""
        parted = (await self._line.row(PARTED, self.epoch))["at"]
        log.warning("a new epoch of the log begins: %s after position=%s", epoch, parted)
        self.epoch = epoch
        # Own commits that wait may have gone down with the server that took them.
        self._early.clear()
        self._answered.clear()
        self._target = 0
        if self._hub.position > parted:
            self._hub.restart(parted)
        self.recent.begin(self._hub.position)

    async def show(self, entries: Sequence[Entry]) -> None:
        """Fill in the events; a kind that nobody renders stays silent."""
        by_kind: dict[str, list[Entry]] = {}
        for entry in entries:
            by_kind.setdefault(entry.kind, []).append(entry)
        for kind, some in by_kind.items():
            for entry, fields in zip(some, await self._render(kind, some), strict=True):
                if fields is not None:
                    entry.event = encode(kind, self.epoch, entry.position, entry.chat_id, fields)

    def _publish_early(self) -> None:
        while self._early:
            entry = self._early.pop(self._hub.position + 1, None)
            if entry is None:
                for position in [known for known in self._early if known <= self._hub.position]:
                    del self._early[position]
                return
            self._publish(entry)

    def _publish(self, entry: Entry) -> None:
        self.recent.note(entry)
        if self._answered:
            entry.skip = self._answered.pop(entry.position, entry.skip)
        self._hub.publish(entry)

    def _tell_waiters(self) -> None:
        if not self._waiting:
            return
        for position, reached in self._waiting:
            if position <= self._hub.position and not reached.done():
                reached.set_result(None)
        self._waiting = [one for one in self._waiting if not one[1].done()]


def read_entry(row: Any) -> Entry:
    return Entry(
        position=row["position"],
        kind=row["kind"],
        chat_id=row["topic_chat"],
        user_id=row["topic_user"],
        actor_id=row["actor_id"],
        subject_id=row["subject_id"],
        data=msgspec.json.decode(row["data"]) if row["data"] is not None else None,
        at=row["at"],
    )
