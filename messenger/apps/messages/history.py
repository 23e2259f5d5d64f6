"""Messages as they are now: single ones, and pages of a chat's history.

A page is answered from memory while nothing has happened in its chat, else it is read in as few statements as that
takes. The statement that reads the rows looks once more whether their reader is in the chat.
"""

import hashlib
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from aiohttp import web

from messenger.apps.messages import history_store as store
from messenger.apps.messages.history_store import ChatHead
from messenger.apps.messages.memory import PageMemory
from messenger.apps.messages.rendering import render_for, render_for_all
from messenger.apps.messages.schemas import Message, Next, Own, Page, ReadCursor, Shown
from messenger.db.connection import ConnectionSet
from messenger.errors import ChatNotFound, MessageNotFound
from messenger.identity import Identity
from messenger.log.log import Log
from messenger.web.app_keys import DATABASE, LOG
from messenger.web.page_cache import PAGE_CACHE, PageCache
from messenger.web.reply import ENCODER

MOST_READ_CURSORS = 100  # on a page; a larger chat shows them where its members are listed

Anchor = Literal["newest", "first_unread", "number", "message", "nearest"]


@dataclass(frozen=True, slots=True)
class Where:
    """Which messages of a chat: those numbered from `anchor + start` up to `anchor + stop`, without the last.

    The anchor is a number, a message that must be there, or the place of an id whether or not it is a message here.
    """

    anchor: Anchor
    value: int
    start: int
    stop: int
    is_full: bool = False  # where the chat begins after the start, as many more at the end
    is_backward: bool = False  # what "more" means
    has_read_cursors: bool = True

    @classmethod
    def from_number(cls, seq: int, limit: int) -> "Where":
        return cls("number", max(1, seq), 0, limit)

    @classmethod
    def before(cls, message_id: int, limit: int) -> "Where":
        return cls("message", message_id, -limit, 0, is_backward=True)

    @classmethod
    def after(cls, message_id: int, limit: int) -> "Where":
        return cls("message", message_id, 1, limit + 1)

    @classmethod
    def around(cls, anchor: Anchor, value: int, limit: int) -> "Where":
        return cls(anchor, value, -(limit // 2), limit - limit // 2, is_full=True)

    @classmethod
    def counted(cls, anchor: Anchor, value: int, before: int, after: int) -> "Where":
        return cls(anchor, value, -before, after + 1)

    @classmethod
    def newest(cls, limit: int) -> "Where":
        return cls("newest", 0, -limit, 0)

    @property
    def name(self) -> str:
        return (
            f"{self.anchor} {self.value} {self.start} {self.stop}"
            f" {self.is_full:d}{self.is_backward:d}{self.has_read_cursors:d}"
        )

    def resolved(self, chat: ChatHead, reader: int) -> "Where":
        """Readers who have read equally far have the same page. Who is no member has read nothing."""
        if self.anchor != "first_unread":
            return self
        read = chat.read_cursors.get(reader)
        first_unread = read.read_seq + 1 if read is not None else 1
        if first_unread <= chat.head_seq:
            return replace(self, anchor="number", value=first_unread)
        start = self.start - self.stop if self.is_full else self.start
        return replace(self, anchor="newest", start=start, stop=0, is_full=False)


@dataclass(frozen=True, slots=True)
class EncodedPage:
    """A page as it is answered."""

    body: bytes
    tag: str


class History:
    def __init__(self, lines: ConnectionSet, log: Log, page_cache: PageCache | None) -> None:
        self._lines = lines
        self._memory = PageMemory(log, page_cache)

    async def current(self, ids: Collection[int]) -> dict[int, Shown]:
        """Those of these messages that are there, the same for everybody."""
        return {row["id"]: render_for_all(row) for row in await store.find_current(self._lines, ids)}

    async def page(self, me: Identity | None, chat_id: int, where: Where, came: float) -> EncodedPage:
        """Ascending. `next.iterator` is the number to go on from: a page at the end repeats it, so it can be polled."""
        is_fresh = await self._memory.may_be_believed(came)
        chat = await self._enter(me, chat_id, is_fresh)
        reader = me.user_id if me is not None else 0
        where = where.resolved(chat, reader)
        cached = await self._memory.find_page(chat_id, where.name, reader) if is_fresh else None
        if cached is not None:
            return EncodedPage(cached.body, cached.tag)
        page, senders = await self._read(chat, me, where)
        body = ENCODER.encode(page)
        tag = hashlib.sha256(body).hexdigest()[:32]
        await self._memory.keep_page(chat, where.name, reader, senders, tag, body)
        return EncodedPage(body, tag)

    async def offset_page(
        self, me: Identity | None, chat_id: int, later_than: int | None, offset: int, limit: int, came: float
    ) -> list[Message]:
        """Numbers have no holes, so an offset is a number: the cost of a page does not grow with it."""
        chat = await self._enter(me, chat_id, await self._memory.may_be_believed(came))
        start = 0 if later_than is None else await self._seq_of(chat_id, later_than)
        rows = await self._rows(chat, me, start + offset + 1, limit)
        return await self._rendered(chat, me, rows)

    async def read_cursors(self, me: Identity | None, chat_id: int, came: float) -> list[ReadCursor]:
        """How far everybody has read."""
        chat = await self._enter(me, chat_id, await self._memory.may_be_believed(came))
        return list(chat.read_cursors.values())

    async def own(self, user_id: int, chat_id: int, from_seq: int, to_seq: int, most: int) -> list[Own]:
        """What this person said within a run of messages."""
        return await store.find_own(self._lines, chat_id, from_seq, to_seq, user_id, most)

    async def find_by_key(self, chat_id: int, key: str) -> int | None:
        return await store.find_by_key(self._lines, chat_id, key)

    async def _enter(self, me: Identity | None, chat_id: int, is_fresh: bool) -> ChatHead:
        chat = self._memory.find_chat(chat_id) if is_fresh else None
        if chat is None:
            chat = await self._read_chat(chat_id)
        if me is not None and not me.reads_all and me.user_id not in chat.read_cursors:
            raise ChatNotFound
        return chat

    async def _read_chat(self, chat_id: int) -> ChatHead:
        chat = await store.find_chat(self._lines, chat_id, self._memory.place)
        if chat is None:
            raise ChatNotFound
        self._memory.keep_chat(chat)
        return chat

    async def _read(self, chat: ChatHead, me: Identity | None, where: Where) -> tuple[Page, list[int]]:
        """The page, and who have said something on it."""
        first, count = await self._numbers(chat, where)
        rows = await self._rows(chat, me, first, count)
        messages = await self._rendered(chat, me, rows)
        has_before = min(first, chat.head_seq + 1) > 1
        if messages:
            next_seq = messages[-1].seq + 1
        else:
            next_seq = chat.head_seq + 1 if where.is_backward else first
        has_more = has_before if where.is_backward else next_seq <= chat.head_seq
        has_cursors = where.has_read_cursors and len(chat.read_cursors) <= MOST_READ_CURSORS
        cursors = list(chat.read_cursors.values()) if has_cursors else []
        page = Page(messages, Next(str(next_seq)), cursors, has_more, has_before)
        return page, sorted({row["sender_id"] for row in rows})

    async def _numbers(self, chat: ChatHead, where: Where) -> tuple[int, int]:
        """The first number of the page, and how many there may be."""
        stop = where.stop
        if where.anchor == "newest":
            anchor = chat.head_seq + 1
        elif where.anchor == "number":
            anchor = where.value
        elif where.anchor == "message":
            anchor = await self._seq_of(chat.chat_id, where.value)
        else:
            seq = await store.find_seq(self._lines, chat.chat_id, where.value)
            anchor = seq or await store.find_nearest_seq(self._lines, chat.chat_id, where.value)
            if seq is None and not where.is_full:
                stop -= 1  # there is no anchor on the page
        first = max(1, anchor + where.start)
        return first, stop - where.start if where.is_full else max(0, anchor + stop - first)

    async def _rows(self, chat: ChatHead, me: Identity | None, first: int, count: int) -> Sequence[Any]:
        reader = None if me is None or me.reads_all else me.user_id
        rows = await store.find_messages(self._lines, chat.chat_id, first, count, reader)
        if not rows:  # the end of the chat, or its reader has been removed meanwhile
            await self._enter(me, chat.chat_id, is_fresh=False)
        return rows

    async def _rendered(self, chat: ChatHead, me: Identity | None, rows: Sequence[Any]) -> list[Message]:
        unknown = {row["sender_id"] for row in rows} - chat.names.keys()
        if unknown:  # remembered when they are known: others read meanwhile
            chat.names |= await store.find_names(self._lines, chat.chat_id, unknown)
        has_reactions = bool(rows) and chat.has_reactions
        reactions = (
            await store.find_reactions(self._lines, chat.chat_id, rows[0]["id"], rows[-1]["id"])
            if has_reactions
            else {}
        )
        reader = me.user_id if me is not None else 0
        return [render_for(reader, row, chat, reactions.get(row["id"]) or []) for row in rows]

    async def _seq_of(self, chat_id: int, message_id: int) -> int:
        seq = await store.find_seq(self._lines, chat_id, message_id)
        if seq is None:
            raise MessageNotFound
        return seq


HISTORY: web.AppKey[History] = web.AppKey("history", History)


async def context(root: web.Application) -> AsyncIterator[None]:
    root[HISTORY] = History(root[DATABASE].connections, root[LOG], root.get(PAGE_CACHE))
    yield
