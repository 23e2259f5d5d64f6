"""Messages as they are now: single ones, and pages of a chat's history.

A page is answered from memory (`memory`) while nothing has happened in its chat; else it is read (`store`) in as few
statements as possible. The statement that reads the rows checks again that their reader is in the chat.
"""

import hashlib
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from aiohttp import web

from messenger.apps.messages import store
from messenger.apps.messages.memory import PageMemory
from messenger.apps.messages.rendering import render_for, render_for_all, write_for
from messenger.apps.messages.schemas import (
    CurrentMessage,
    Message,
    Next,
    Reaction,
    ReadCursor,
    ReadMessage,
    WrittenPage,
)
from messenger.apps.messages.store import ChatHead, Span
from messenger.db.connection import ConnectionSet
from messenger.db.together import Together
from messenger.errors import ChatNotFound, MessageNotFound
from messenger.identity import Identity
from messenger.log.log import Log
from messenger.web.app_keys import DATABASE, LOG
from messenger.web.page_cache import PAGE_CACHE, EncodedPage, PageCache
from messenger.web.reply import ENCODER

PAGES_GATHERED, MOST_GATHERED = 16, 100  # pages read in one statement, and the longest of them
MOST_READ_CURSORS = 100  # on a page; a larger chat shows them where its members are listed

Anchor = Literal["newest", "first_unread", "number", "message", "nearest"]


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Asks for the messages of a chat with the numbers from `anchor + start` to just before `anchor + stop`.

    The anchor is a number, a message that must exist, or the place of an id (`nearest`), which may be no message here.
    """

    anchor: Anchor
    value: int
    start: int
    stop: int
    is_full: bool = False  # when the chat begins after the start, the page has as many more at its end
    is_backward: bool = False  # "more" means earlier messages
    has_read_cursors: bool = True

    @classmethod
    def from_number(cls, seq: int, limit: int) -> "PageQuery":
        return cls("number", max(1, seq), 0, limit)

    @classmethod
    def before(cls, message_id: int, limit: int) -> "PageQuery":
        return cls("message", message_id, -limit, 0, is_backward=True)

    @classmethod
    def after(cls, message_id: int, limit: int) -> "PageQuery":
        return cls("message", message_id, 1, limit + 1)

    @classmethod
    def around(cls, anchor: Anchor, value: int, limit: int) -> "PageQuery":
        return cls(anchor, value, -(limit // 2), limit - limit // 2, is_full=True)

    @classmethod
    def counted(cls, anchor: Anchor, value: int, before: int, after: int) -> "PageQuery":
        return cls(anchor, value, -before, after + 1)

    @classmethod
    def newest(cls, limit: int) -> "PageQuery":
        return cls("newest", 0, -limit, 0)

    @property
    def name(self) -> str:
        return (
            f"{self.anchor} {self.value} {self.start} {self.stop}"
            f" {self.is_full:d}{self.is_backward:d}{self.has_read_cursors:d}"
        )

    @property
    def is_at_an_end(self) -> bool:
        """Where a chat begins or ends, readers come again."""
        return self.anchor == "newest" or (self.anchor == "number" and self.value == 1)

    def resolved(self, chat: ChatHead, reader: int) -> "PageQuery":
        """Readers who have read equally far have the same page. A reader who is no member has read nothing."""
        if self.anchor != "first_unread":
            return self
        read = chat.read_cursors.get(reader)
        first_unread = read.read_seq + 1 if read is not None else 1
        if first_unread <= chat.head_seq:
            return replace(self, anchor="number", value=first_unread)
        start = self.start - self.stop if self.is_full else self.start
        return replace(self, anchor="newest", start=start, stop=0, is_full=False)


class History:
    def __init__(self, lines: ConnectionSet, log: Log, page_cache: PageCache | None) -> None:
        self._lines = lines
        self._memory = PageMemory(log, page_cache)
        self._find_rows = partial(store.find_messages, lines)
        self._gathered = Together(self._find_rows, PAGES_GATHERED)

    async def stop(self) -> None:
        await self._gathered.stop()

    async def current(self, ids: Collection[int]) -> dict[int, CurrentMessage]:
        """Those of these messages that exist, as everybody sees them."""
        return {row["id"]: render_for_all(row) for row in await store.find_current(self._lines, ids)}

    async def page(self, me: Identity | None, chat_id: int, query: PageQuery, arrived_at: float) -> EncodedPage:
        """Ascending. `next.iterator` is the next number; a page at the end repeats it, so it can be polled."""
        is_fresh = await self._memory.may_be_believed(arrived_at)
        chat = await self._enter(me, chat_id, is_fresh)
        reader = me.user_id if me is not None else 0
        query = query.resolved(chat, reader)
        cached = await self._memory.find_page(chat_id, query.name, reader) if is_fresh else None
        if cached is not None:
            return EncodedPage(cached.body, cached.tag)
        body, senders = await self._read(chat, me, query)
        tag = hashlib.sha256(body).hexdigest()[:32]
        await self._memory.keep_page(chat, query, reader, senders, tag, body)
        return EncodedPage(body, tag)

    async def offset_page(
        self, me: Identity | None, chat_id: int, later_than: int | None, offset: int, limit: int, arrived_at: float
    ) -> list[Message]:
        """Numbers have no holes, so an offset is a number, and a page costs the same at any offset."""
        chat = await self._enter(me, chat_id, await self._memory.may_be_believed(arrived_at))
        start = 0 if later_than is None else await self._seq_of(chat_id, later_than)
        rows = await self._rows(chat, me, start + offset + 1, limit)
        reactions, reader = await self._beside(chat, rows), me.user_id if me is not None else 0
        return [render_for(reader, row, chat, reactions.get(row["id"]) or []) for row in rows]

    async def read_cursors(self, me: Identity | None, chat_id: int, arrived_at: float) -> list[ReadCursor]:
        """The read cursors of all members."""
        chat = await self._enter(me, chat_id, await self._memory.may_be_believed(arrived_at))
        return list(chat.read_cursors.values())

    async def own(self, user_id: int, chat_id: int, from_seq: int, to_seq: int, most: int) -> list[ReadMessage]:
        """The messages of this person within a run of numbers."""
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
        chat = await store.find_chat(self._lines, chat_id, self._memory.cursor)
        if chat is None:
            raise ChatNotFound
        self._memory.keep_chat(chat)
        return chat

    async def _read(self, chat: ChatHead, me: Identity | None, query: PageQuery) -> tuple[bytes, list[int]]:
        """The page as JSON, and the senders of its messages."""
        first, count = await self._numbers(chat, query)
        rows = await self._rows(chat, me, first, count)
        reactions = await self._beside(chat, rows)
        messages = write_for(me.user_id if me is not None else 0, rows, chat, reactions)
        has_before = min(first, chat.head_seq + 1) > 1
        if rows:
            next_seq = rows[-1]["seq"] + 1
        else:
            next_seq = chat.head_seq + 1 if query.is_backward else first
        has_more = has_before if query.is_backward else next_seq <= chat.head_seq
        has_cursors = query.has_read_cursors and len(chat.read_cursors) <= MOST_READ_CURSORS
        cursors = list(chat.read_cursors.values()) if has_cursors else []
        page = WrittenPage(messages, Next(str(next_seq)), cursors, has_more, has_before)
        return ENCODER.encode(page), sorted({row["sender_id"] for row in rows})

    async def _numbers(self, chat: ChatHead, query: PageQuery) -> tuple[int, int]:
        """The first number of the page, and the most messages it may have."""
        stop = query.stop
        if query.anchor == "newest":
            anchor = chat.head_seq + 1
        elif query.anchor == "number":
            anchor = query.value
        elif query.anchor == "message":
            anchor = await self._seq_of(chat.chat_id, query.value)
        else:
            seq = await store.find_seq(self._lines, chat.chat_id, query.value)
            anchor = seq or await store.find_nearest_seq(self._lines, chat.chat_id, query.value)
            if seq is None and not query.is_full:
                stop -= 1  # the anchor itself is not on the page
        first = max(1, anchor + query.start)
        return first, stop - query.start if query.is_full else max(0, anchor + stop - first)

    async def _rows(self, chat: ChatHead, me: Identity | None, first: int, count: int) -> Sequence[Any]:
        reader = None if me is None or me.reads_all else me.user_id
        span = Span(chat.chat_id, first, count, reader)
        if count > MOST_GATHERED:
            (rows,) = await self._find_rows([span])
        else:
            rows = await self._gathered.answer(span)
        if not rows:  # the end of the chat, or the reader has been removed meanwhile
            await self._enter(me, chat.chat_id, is_fresh=False)
        return rows

    async def _beside(self, chat: ChatHead, rows: Sequence[Any]) -> dict[int, list[Reaction]]:
        """What is shown beside the rows: the reactions; and `chat` knows the names of the senders."""
        unknown = {row["sender_id"] for row in rows} - chat.names.keys()
        if unknown:  # remembered only once they are known, as others read `names` meanwhile
            chat.names |= await store.find_names(self._lines, chat.chat_id, unknown)
        if not (rows and chat.has_reactions):
            return {}
        return await store.find_reactions(self._lines, chat.chat_id, rows[0]["id"], rows[-1]["id"])

    async def _seq_of(self, chat_id: int, message_id: int) -> int:
        seq = await store.find_seq(self._lines, chat_id, message_id)
        if seq is None:
            raise MessageNotFound
        return seq


HISTORY: web.AppKey[History] = web.AppKey("history", History)


async def context(root: web.Application) -> AsyncIterator[None]:
    history = root[HISTORY] = History(root[DATABASE].reads, root[LOG], root.get(PAGE_CACHE))
    yield
    await history.stop()
