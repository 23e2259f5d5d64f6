"""Those who listen: followers with nothing but a cursor, their every event in the journal; and patient readers."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from proof.lab.crowd import Client, Cut, Follower, Place, Reply
from proof.lab.processes import AWAY
from proof.lab.proxy import Proxy
from proof.torture.journal import Journal, Opened, Page, Row, Shut, digest
from proof.torture.plan import THE_END
from proof.torture.speakers import EVENT, PASSING, Event, note

WAYS = ("socket", "sse", "poll")
PAGE = 500
BETWEEN_LOOKS = 0.03


@dataclass
class Witness(Follower):
    """Comes back on a process chosen at random, and is cut after as many events as its plan says."""

    anywhere: Callable[[], Place] = field(init=False)
    name: str = field(kw_only=True)
    journal: Journal = field(kw_only=True)
    doors: Sequence[Proxy] = field(kw_only=True)
    choice: Random = field(kw_only=True)
    last_chat: int = field(kw_only=True)  # where its last words are said
    line: int = 0
    owed: list[tuple[int, int, int]] = field(default_factory=list)  # pages of chats that it was told to read

    def __post_init__(self) -> None:
        self.anywhere = self.door

    def door(self) -> Proxy:
        """A door, and a new line in the journal behind it."""
        self._shut("came back")
        process = self.choice.randrange(len(self.doors))
        self.line = self.journal.ref()
        user = int(self.client.actor.user_id)
        self.journal.write(Opened(self.journal.now, self.line, self.name, self.way, process, user, 0, self.position))
        return self.doors[process]

    def _shut(self, why: str) -> None:
        if self.line:
            self.journal.write(Shut(self.journal.now, self.line, why))
            self.line = 0

    def take(self, raw: bytes) -> None:
        event = EVENT.decode(raw)
        if event.type in PASSING or event.type in {"ready", "ack", "error"}:
            return
        note(self.journal, self.line, event)
        if event.type == "limited":
            self.owed.append((int(event.chat_id), event.from_seq, event.to_seq))
        else:
            self.cursor = event.cursor
        self.is_at_end = self._is_end(event)
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self._shut("cut")
                raise Cut

    def _is_end(self, event: Event) -> bool:
        is_last = int(event.chat_id) == self.last_chat and event.message is not None
        return is_last and event.message is not None and event.message.text == THE_END

    async def read_owed(self) -> None:
        """What `limited` named: the pages, as long as it takes."""
        while self.owed:
            chat, first, last = self.owed.pop()
            while first <= last:
                page = await ask_page(
                    self.client, self.journal, self.doors, self.choice.randrange(len(self.doors)), chat,
                    first=first, limit=min(1000, last - first + 1),
                )  # fmt: skip
                if page is None:
                    await asyncio.sleep(0.1)
                    continue
                if not page.rows:
                    break
                first = page.rows[-1][0] + 1

    async def wakes(self, position: int, seconds: float) -> None:
        """Away until now; listens until it has come as far as this position, and goes away again."""
        self.way = self.choice.choice(WAYS)
        task = asyncio.create_task(self.follow())
        until = asyncio.get_running_loop().time() + seconds
        try:
            while not task.done() and self.position < position and asyncio.get_running_loop().time() < until:
                await asyncio.sleep(BETWEEN_LOOKS)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._shut("asleep")
        await self.read_owed()

    @property
    def position(self) -> int:
        return int(self.cursor.partition(".")[2])


async def ask_page(
    client: Client, journal: Journal, doors: Sequence[Proxy], process: int, chat: int, *,
    first: int, limit: int, reader: str = "",
) -> Page | None:  # fmt: skip
    """A page of history with its record; None when nobody answered."""
    since = journal.lines
    path = f"/v1/chats/{chat}/messages?limit={limit}&from={first}"
    try:
        answer = await client.asks(doors[process], "GET", path, seconds=5)
    except AWAY:
        return None
    page = Page(
        journal.now, since, reader, int(client.actor.user_id), 0, process, chat, first, limit, answer.status,
        rows_of(answer),
    )  # fmt: skip
    journal.write(page)
    return page if answer.status == 200 else None


def rows_of(answer: Reply) -> list[Row]:
    if answer.status != 200:
        return []
    rows = []
    for one in answer.json["messages"]:
        changed = one["deleted"] or one["edited_at"] is not None
        rows.append((one["seq"], int(one["message_id"]), int(one["sender_id"]), digest(one["text"]), changed))
    return rows


@dataclass(eq=False)
class PageReader:
    """Reads a chat page by page from its beginning while it is being written, and never looks back."""

    client: Client
    journal: Journal
    doors: Sequence[Proxy]
    process: int
    chat: int
    name: str
    seq: int = 1

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(BETWEEN_LOOKS)

    async def look(self) -> bool:
        page = await ask_page(
            self.client, self.journal, self.doors, self.process, self.chat,
            first=self.seq, limit=PAGE, reader=self.name,
        )  # fmt: skip
        if page is None or not page.rows:
            return False
        self.seq = page.rows[-1][0] + 1
        return True
