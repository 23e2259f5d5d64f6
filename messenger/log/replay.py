"""From a cursor to the live stream without a gap: what a listener missed is read first, then it goes live.

The order makes it safe: attach to the hub, read the memberships, read pages up to a head S, go live after S, and drop
what the hub delivered at or below S.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from messenger.db.connection import ConnectionLost, ConnectionSet
from messenger.log.entries import Cursor, Entry, Run
from messenger.log.hub import Hub
from messenger.log.tail import Tail, read_entry

PAGE = 500
MOST_IN_A_CHAT = 5_000
MOST_IN_ALL = 10_000
MOST_EARLY = 200  # entries kept while a page is read; when more come, another page is read

MEMBERSHIPS = """
    select h.position as head, h.epoch,
           array(select m.chat_id from members m join chats c on c.id = m.chat_id and c.deleted_at is null
                  where m.user_id = $1) as chats,
           exists(select 1 from sessions s
                   where s.id = $2 and s.ended_at is null and s.expires_at > now()) as is_signed_in
      from log_head h order by h.position desc limit 1
"""
MISSED = "select * from log_missed($1, $2)"
ENTRIES_AFTER = """
    select count(*) as n from (
        select 1 from members m join log_entries e on e.topic_chat = m.chat_id and e.position > greatest($2, m.since)
         where m.user_id = $1 limit $3) x
"""
PAGE_AFTER = "select * from log_page($1, $2, $3, $4, $5)"
IS_GOOD = """
    select log_cursor_is_good($1, $2) as good, h.position as head, h.epoch
      from log_head h order by h.position desc limit 1
"""


@dataclass(frozen=True, slots=True)
class Limited:
    """Too much was missed in this chat: the client reads these messages as pages of history."""

    chat_id: int
    from_seq: int
    to_seq: int

    def fields(self) -> dict[str, object]:
        return {"chat_id": str(self.chat_id), "from_seq": self.from_seq, "to_seq": self.to_seq}


@dataclass(frozen=True, slots=True)
class Missed:
    """What lies between a cursor and now. `resync`: why it cannot be replayed."""

    head: int
    resync: str = ""
    limited: Sequence[Limited] = ()


class Reader:
    """Reads the log for clients that resume."""

    def __init__(self, connections: ConnectionSet, tail: Tail) -> None:
        self._connections = connections
        self._tail = tail

    async def memberships(self, user_id: int, session_id: int) -> tuple[int, Sequence[int], bool]:
        row = await self._connections.row(MEMBERSHIPS, user_id, session_id)
        await self._tail.reach_epoch(row["epoch"])
        return row["head"], row["chats"], row["is_signed_in"]

    async def missed(self, user_id: int, cursor: Cursor) -> Missed:
        state = await self._connections.row(IS_GOOD, cursor.epoch, cursor.position)
        await self._tail.reach_epoch(state["epoch"])
        if not state["good"]:
            return Missed(state["head"], resync="This cursor is unknown or older than what is kept.")
        rows = await self._connections.rows(MISSED, user_id, cursor.position)
        chats = [row for row in rows if row["chat_id"] is not None]
        limited = [
            Limited(row["chat_id"], row["first_seq"], row["last_seq"])
            for row in chats
            if row["last_seq"] - row["first_seq"] + 1 > MOST_IN_A_CHAT
        ]
        limited_chats = {one.chat_id for one in limited}
        messages = sum(row["last_seq"] - row["first_seq"] + 1 for row in chats if row["chat_id"] not in limited_chats)
        others = await self._connections.row(ENTRIES_AFTER, user_id, cursor.position, MOST_IN_ALL + 1)
        if messages + others["n"] > MOST_IN_ALL:
            return Missed(rows[0]["head"], resync=f"More than {MOST_IN_ALL} events were missed.")
        return Missed(rows[0]["head"], limited=limited)

    async def page(self, user_id: int, after: int, passed: Sequence[int], passed_upto: int) -> tuple[list[Entry], int]:
        """The next entries with their events, and the position they are complete up to."""
        rows = await self._connections.rows(PAGE_AFTER, user_id, after, PAGE, list(passed), passed_upto)
        if rows[0]["kept"] > after:
            raise ConnectionLost  # pruned meanwhile: the client resumes with this cursor and gets a resync
        await self._tail.reach_epoch(rows[0]["epoch"])
        entries = [read_entry(row) for row in rows if row["position"] is not None]
        await self._tail.add_events(entries)
        return entries, entries[-1].position if len(entries) == PAGE else rows[0]["head"]


class Sink(Protocol):
    """Receives a subscription's entries. It does not wait and does not raise."""

    def take(self, entry: Entry) -> None: ...
    def take_run(self, run: Run) -> None: ...
    def take_note(self, note: bytes) -> None: ...
    def end(self) -> None: ...
    def restart(self) -> None: ...


@dataclass(eq=False, slots=True)
class Subscription:
    """One listener and its position: it reads what it missed, then it is live."""

    hub: Hub
    reader: Reader
    user_id: int
    session_id: int
    sink: Sink
    position: int = 0  # everything up to here went to the sink
    is_live: bool = False
    _early: list[Entry] | None = None  # heard before it was live
    _overrun: bool = False

    def hear(self, entry: Entry) -> None:
        if self.is_live:
            if entry.position > self.position:
                self.position = entry.position
                self.sink.take(entry)
        elif self._early is None:
            self._early = [entry]
        elif len(self._early) < MOST_EARLY:
            self._early.append(entry)
        else:
            self._overrun = True

    def hear_run(self, run: Run) -> None:
        if self.is_live and run.entries[0].position > self.position:
            self.position = run.entries[-1].position
            self.sink.take_run(run)
        else:
            for entry in run.entries:
                self.hear(entry)

    def hear_note(self, note: bytes) -> None:
        if self.is_live:
            self.sink.take_note(note)

    def session_ended(self) -> None:
        self.sink.end()

    def log_restarted(self) -> None:
        self.is_live = False
        self.sink.restart()

    async def attach(self) -> int:
        """Start to listen. Returns the head at which the memberships were read."""
        self.hub.attach(self)
        head, chats, is_signed_in = await self.reader.memberships(self.user_id, self.session_id)
        self.hub.admit(self, chats, head)
        if not is_signed_in:  # it ended after the request's check and before the hub knew this listener
            self.sink.end()
        return head

    def go_live(self, head: int) -> bool:
        """At once, if nothing was published since the memberships were read at this head: then nothing was missed."""
        if self.hub.position > head:
            return False
        self._early, self._overrun = None, False
        self.position, self.is_live = head, True
        return True

    def detach(self) -> None:
        self.hub.detach(self)
        self.is_live = False

    async def catch_up(
        self, after: int, *, passed: Sequence[int] = (), passed_upto: int = 0, at_end: Callable[[], None] | None = None
    ) -> AsyncGenerator[list[Entry], None]:
        """Pages after a position, read when the caller asks for the next; after the last one the listener is live.

        `at_end` is called after the last page, before the first live entry.
        """
        self.is_live = False
        while True:
            self._early, self._overrun = None, False
            entries, after = await self.reader.page(self.user_id, after, passed, passed_upto)
            yield entries
            if len(entries) == PAGE or self._overrun:
                continue
            self.position = after
            if at_end is not None:
                at_end()
            self.is_live = True  # no await since the check above, so no entry came in between
            early: list[Entry] = self._early or []
            self._early = None
            for entry in early:
                self.hear(entry)
            return
