"""The open sockets of one kind in a process: one timer pings them, one call at the end of a turn writes for them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from messenger.web.app_keys import CONFIG
from messenger.web.sockets.closing import HEARTBEAT_LOST
from messenger.web.sockets.frames import PING
from messenger.web.sockets.outbox import Post

if TYPE_CHECKING:
    from messenger.web.sockets.link import Link

MOST_PINGS = 2  # unanswered ones in a row
LOOKS = 10  # at all sockets, within the time to answer a ping


@dataclass(frozen=True, slots=True)
class Pace:
    """In seconds. Shorter ones are for tests."""

    heartbeat: float = 25.0
    pong: float = 10.0
    command: float = 15.0
    close: float = 2.0


class Links:
    def __init__(self, pace: Pace) -> None:
        self.loop = asyncio.get_running_loop()
        self.pace = pace
        self.post = Post(self.loop)
        self.ended: Counter[int] = Counter()  # sockets, by the code of their end
        self._open: set[Link] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._all_gone: asyncio.Future[None] | None = None  # while somebody waits for it

    def __iter__(self) -> "Iterator[Link]":
        return iter(tuple(self._open))

    def __contains__(self, link: object) -> bool:
        return link in self._open

    def __len__(self) -> int:
        return len(self._open)

    def add(self, link: "Link") -> None:
        self._open.add(link)
        link.due = self.loop.time() + self.pace.heartbeat
        if self._timer is None:
            self._look_later()

    def discard(self, link: "Link") -> None:
        self._open.discard(link)
        if not self._open and self._all_gone is not None and not self._all_gone.done():
            self._all_gone.set_result(None)

    async def all_gone(self, within: float) -> None:
        """Once each was closed. Its patience is bounded, and so is what it still has under way."""
        if self._open:
            self._all_gone = self.loop.create_future()
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._all_gone
        if self._timer is not None:
            self._timer.cancel()

    def hurry(self) -> None:
        """Without waiting for anybody."""
        for link in self:
            link.abort()

    def _look_later(self) -> None:
        self._timer = self.loop.call_later(self.pace.pong / LOOKS, self._look)

    def _look(self) -> None:
        """Ten thousand silent sockets are looked at in a millisecond; a timer for each would cost more, and memory."""
        self._timer = None
        now = self.loop.time()
        next_due = now + self.pace.heartbeat
        for link in self:
            if link.is_heard:
                link.is_heard = False
                link.pings = 0
                link.due = next_due
            elif link.due <= now and link.is_open:
                self._ping(link, now)
        if self._open:
            self._look_later()

    def _ping(self, link: "Link", now: float) -> None:
        if link.pings == MOST_PINGS:
            link.close(HEARTBEAT_LOST)
        else:
            link.pings += 1  # until something is heard
            link.due = now + self.pace.pong
            link.outbox.put(PING)


OPEN_LINKS: web.AppKey[list[Links]] = web.AppKey("open_links")


@asynccontextmanager
async def holding(root: web.Application, pace: Pace) -> AsyncIterator[Links]:
    """As long as the application runs. Who holds them closes each when it stops; here their ends are awaited."""
    links = Links(pace)
    root.setdefault(OPEN_LINKS, []).append(links)
    yield links
    await links.all_gone(root[CONFIG].server.graceful_timeout)
