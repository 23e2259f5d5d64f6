"""Follows the log in position order and publishes its entries to the listeners of this process.

Own commits are handed in directly, doorbells say how far the log reaches. Entries that are missing in between are read
from the database before any later one is published. A lost doorbell costs time (the poll), never an entry.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from messenger.db.connection import ConnectionLost, ReconnectingConnection
from messenger.distribution import Distribution
from messenger.errors import Unavailable
from messenger.log.entries import Entry, Fields, Listener, Render, encode
from messenger.log.hub import Hub
from messenger.log.known import Known
from messenger.log.recent import Recent

log = logging.getLogger(__name__)

QUIET_POLL = 0.25  # the log is read after so long without a doorbell
FETCH = 1000
EPOCH_PATIENCE, EPOCH_STEP = 1.0, 0.01
AT_ONCE = 200  # published before other tasks run: fewer than a listener may have waiting
HEAD = "select position, epoch from log_head order by position desc limit 1"
# Head and entries in one snapshot, so the tail is at the head afterwards even where positions are missing.
FETCH_AFTER = """
    select h.position as head, h.epoch, l.position, l.kind, l.topic_chat, l.topic_user, l.actor_id, l.subject_id,
           l.data, l.at
      from (select position, epoch from log_head order by position desc limit 1) h
      left join lateral (select * from log where position > $1 order by position limit $2) l
        on l.position <= h.position
     order by l.position
"""
# Where the log of this epoch ended. An unknown epoch has nothing in common with the present one.
PARTED = """
    select coalesce((select min(later.after_position) from log_epochs mine
                       join log_epochs later on later.number > mine.number where mine.epoch = $1), 0) as at
"""


class Tail:
    def __init__(self, connection: ReconnectingConnection, hub: Hub, render: Render) -> None:
        self._connection = connection
        self._hub = hub
        self._render = render
        self.recent = Recent()
        self.known = Known(self.recent)
        self._early: dict[int, Entry] = {}  # own entries that wait for the ones before them
        self._answered: dict[int, Listener] = {}  # by position: the sender, which has its answer
        self._target = 0  # the furthest position known
        self._news = asyncio.Event()  # the log has to be read
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self.epoch = ""
        self.ready = asyncio.Event()
        self.epoch_changes = 0
        self.deliveries = Distribution()  # seconds from the stamp of a batch to its last socket
        self._complete_at = time.monotonic()  # nothing that was committed by then is missing here

    @property
    def position(self) -> int:
        return self._hub.position

    @property
    def lag(self) -> float:
        """For so many seconds something may be missing here: while all is well until the next look at most."""
        return time.monotonic() - self._complete_at

    async def start(self) -> None:
        head = await self._connection.row(HEAD)
        self._hub.position, self.epoch = head["position"], head["epoch"]
        self.recent.begin(self._hub.position)
        self.known.begin(self._hub.position)
        self.ready.set()

    async def reach_epoch(self, epoch: str) -> None:
        """Wait until the tail follows the epoch of what was just read: else cursors made of it would be wrong."""
        until = asyncio.get_running_loop().time() + EPOCH_PATIENCE
        while epoch != self.epoch:
            if asyncio.get_running_loop().time() > until:
                raise ConnectionLost
            self.fetch_soon()
            await asyncio.sleep(EPOCH_STEP)

    async def run(self) -> None:
        """As long as the process lives."""
        while True:
            try:
                if not self.ready.is_set():
                    await self.start()
                await self._follow()
            except Unavailable:  # the database, for this connection or for a renderer
                await asyncio.sleep(QUIET_POLL)
            except Exception:
                log.exception("the tail stumbled and goes on at position=%s", self.position)
                await asyncio.sleep(QUIET_POLL)

    def committed(self, entries: Sequence[Entry]) -> None:
        """Own entries, with their events. The next ones in order are published at once, without a read or a task."""
        if self._answered:
            for entry in entries:
                entry.skip = self._answered.pop(entry.position, entry.skip)
        run: list[Entry] = []  # messages of one chat that are next
        for entry in entries:
            if run and entry.position == run[-1].position + 1 and are_of_one_run(run[0], entry):
                run.append(entry)
                continue
            self._publish_run(run)
            run = []
            if entry.position == self._hub.position + 1:
                run.append(entry)
            elif entry.position > self._hub.position:
                self._early[entry.position] = entry
        self._publish_run(run)
        self._publish_early()
        self._wake_waiters()
        if entries:
            self.heard(entries[-1].position)
            if entries[0].position <= self._hub.position:
                self._time_delivery(entries[0].at)

    def answered(self, position: int, origin: Listener) -> None:
        """This entry will be read from the database, and its sender has the answer: it gets no event as well."""
        if position > self._hub.position:
            self._answered[position] = origin

    def heard(self, position: int) -> None:
        """The log reaches at least so far."""
        self._target = max(self._target, position)
        if self._target > self._hub.position:
            self._news.set()

    def fetch_soon(self) -> None:
        """Without waiting for a doorbell: something may have been missed."""
        self._news.set()

    async def reach(self, position: int) -> None:
        """Wait until everything up to this position is published."""
        if self._hub.position < position:
            reached = asyncio.get_running_loop().create_future()
            self._waiting.append((position, reached))
            self.heard(position)
            await reached

    async def pass_by(self, position: int) -> None:
        """Wait until something after this position is published; nothing is read for it."""
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
        """Read and publish what is missing. True: there may be more."""
        before, target, began = self._hub.position, self._target, time.monotonic()
        rows = await self._connection.rows(FETCH_AFTER, before, FETCH)
        head, epoch = rows[0]["head"], rows[0]["epoch"]
        if head < target == self._target:
            self._target = head  # that doorbell was wrong: do not read for it again and again
        entries = [read_entry(row) for row in rows if row["position"] is not None]
        if epoch != self.epoch:
            await self._change_epoch(epoch)
            return True
        upto = entries[-1].position if len(entries) == FETCH else head
        # Most entries have no listener here, and need no event. A person added in these entries hears the later ones.
        joined = {entry.chat_id for entry in entries if entry.kind == "member_added"}
        heard = [entry for entry in entries if entry.chat_id in joined or self._hub.is_heard(entry)]
        await self.add_events([entry for entry in heard if entry.position not in self._early])
        late = next((entry for entry in heard if entry.position > self._hub.position), None)
        for number, entry in enumerate(entries, 1):
            # Own commits may have been published meanwhile.
            if entry.position > self._hub.position:
                self._publish(self._early.pop(entry.position, entry))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        self._hub.position = max(self._hub.position, upto)  # positions between are pruned or erased
        self._publish_early()
        self._wake_waiters()
        if late is not None:
            self._time_delivery(late.at)
        if upto == head:
            self._complete_at = began
        return len(entries) == FETCH or self._target > self._hub.position

    async def _change_epoch(self, epoch: str) -> None:
        """Another server writes the log now. Entries after the point where the two logs part are void."""
        parted = (await self._connection.row(PARTED, self.epoch))["at"]
        log.warning("a new epoch of the log begins: %s after position=%s", epoch, parted)
        self.epoch = epoch
        self.epoch_changes += 1
        # Own commits that wait here may be lost with the old server.
        self._early.clear()
        self._answered.clear()
        self._target = 0
        if self._hub.position > parted:
            self._hub.restart(parted)
        self.recent.begin(self._hub.position)
        self.known.begin(self._hub.position)

    async def add_events(self, entries: Sequence[Entry]) -> None:
        """Entries of a kind without a renderer get none, and nobody hears them."""
        by_kind: dict[str, list[Entry]] = {}
        for entry in entries:
            by_kind.setdefault(entry.kind, []).append(entry)
        for kind, some in by_kind.items():
            for entry, fields in zip(some, await self._rendered(kind, some), strict=True):
                if fields is not None:
                    entry.event = encode(kind, self.epoch, entry.position, entry.chat_id, fields)

    async def _rendered(self, kind: str, entries: Sequence[Entry]) -> Sequence[Fields]:
        """An entry that its sub-app cannot render has no event; the log goes on behind it."""
        try:
            return await self._render(kind, entries)
        except Unavailable:
            raise
        except Exception:
            if len(entries) > 1:
                return [fields for entry in entries for fields in await self._rendered(kind, [entry])]
            log.exception("an entry cannot be rendered kind=%s position=%s", kind, entries[0].position)
            return [None]

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
        self.known.note(entry)
        if self._answered:
            entry.skip = self._answered.pop(entry.position, entry.skip)
        self._hub.publish(entry)

    def _publish_run(self, run: Sequence[Entry]) -> None:
        if len(run) > 1:
            self.recent.note(run[-1])  # they are of one chat
            for entry in run:
                self.known.note(entry)
            self._hub.publish_run(run)
        else:
            for entry in run:
                self._publish(entry)

    def _time_delivery(self, stamp: datetime | None) -> None:
        """What is published leaves at the end of this turn; what is called now comes after that."""
        if stamp is not None:
            asyncio.get_running_loop().call_soon(self._note_delivery, stamp)

    def _note_delivery(self, stamp: datetime) -> None:
        """By two clocks, where the database has a machine of its own."""
        self.deliveries.note(max(0.0, time.time() - stamp.timestamp()))

    def _wake_waiters(self) -> None:
        if not self._waiting:
            return
        for position, reached in self._waiting:
            if position <= self._hub.position and not reached.done():
                reached.set_result(None)
        self._waiting = [one for one in self._waiting if not one[1].done()]


def are_of_one_run(first: Entry, entry: Entry) -> bool:
    return entry.kind == first.kind == "new_message" and entry.chat_id == first.chat_id


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
