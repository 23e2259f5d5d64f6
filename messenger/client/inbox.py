"""The events that were heard and not yet dealt with, and the place in the log up to which they were."""

import asyncio
import os
from collections import deque
from pathlib import Path
from typing import Any, Self

from messenger.client.events import Event, Limited, Resync, read_event
from messenger.client.line import Line


class Place:
    """The newest cursor of each log; there is one log today."""

    def __init__(self, text: str = "") -> None:
        self._cursors = dict(enumerate(text.split(","))) if text else {}

    def __str__(self) -> str:
        return ",".join(self._cursors.values())

    def has_passed(self, event: Event) -> bool:
        known = self._cursors.get(event.log)
        return (
            event.cursor is not None
            and known is not None
            and not isinstance(event, Limited | Resync)
            and _position(event.cursor) <= _position(known)
        )

    def move(self, event: Event) -> bool:
        """Past this event. False: it has no place of its own."""
        if event.cursor is None or isinstance(event, Limited):
            return False
        self._cursors[event.log] = event.cursor
        return True


class CursorFile:
    """Replaced as a whole: whatever is killed, there is this cursor or the one before."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def read(self) -> str:
        """Empty: there is no file yet."""
        try:
            text = self._path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""
        if not text:
            raise ValueError(f"{self._path} is empty: remove it to begin from now on.")
        return text

    def write(self, cursor: str) -> None:
        new = self._path.with_name(f"{self._path.name}.new")
        new.write_text(f"{cursor}\n", encoding="ascii")
        new.replace(self._path)


class Inbox:
    def __init__(self, line: Line, file: CursorFile | None) -> None:
        self._line = line
        self._file = file
        self._place = Place(file.read() if file is not None else "")
        self._heard: deque[Event] = deque()
        self._hearing: asyncio.Task[list[dict[str, Any]]] | None = None

    async def first(self) -> Event:
        """The first that nobody has dealt with, once there is one."""
        while True:
            while self._heard and self._place.has_passed(self._heard[0]):
                self._heard.popleft()
            if self._heard:
                return self._heard[0]
            hearing = self._hearing = self._hearing or asyncio.create_task(self._hear())
            await asyncio.wait([hearing])  # who is cancelled here leaves it to the next one who asks
            self._hearing = None
            self._heard.extend(map(read_event, hearing.result()))

    async def _hear(self) -> list[dict[str, Any]]:
        """Nothing is waiting, so the place is behind all that was heard: the line may begin anew from there."""
        if not str(self._place):
            self.begin(await self._line.now())
        return await self._line.hear(str(self._place))

    async def close(self) -> None:
        if self._hearing is not None:
            self._hearing.cancel()
            await asyncio.gather(self._hearing, return_exceptions=True)

    def done(self, event: Event) -> None:
        """With the first one, unless all began anew meanwhile."""
        if self._heard and self._heard[0] is event:
            self._heard.popleft()
            if self._place.move(event):
                self._save()

    def begin(self, cursor: str) -> None:
        self._heard.clear()
        self._place = Place(cursor)
        self._save()

    def _save(self) -> None:
        if self._file is not None:
            self._file.write(str(self._place))


class Events:
    """An event is behind us when the next one is asked for, so one that a loop was left with is told again."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._in_hand: Event | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._in_hand is not None:
            self._inbox.done(self._in_hand)
            self._in_hand = None
        self._in_hand = await self._inbox.first()
        return self._in_hand


def _position(cursor: str) -> int:
    return int(cursor.partition(".")[2])
