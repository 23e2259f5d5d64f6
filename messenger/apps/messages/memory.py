"""What is remembered for pages of history, and when it may be used.

Members, names, read cursors and whole pages were true at one position of the log. They are used only when this process
has followed the log to a head that was read after the request arrived, and knows of no later entry in that chat.
"""

from typing import TYPE_CHECKING

import msgspec

from messenger.errors import Unavailable
from messenger.log.entries import Cursor
from messenger.web.page_cache import Seen

if TYPE_CHECKING:
    from messenger.apps.messages.history import PageQuery
    from messenger.apps.messages.store import ChatHead
    from messenger.log.log import Log
    from messenger.web.page_cache import PageCache

MOST_CHATS, MOST_MEMBERS = 2_000, 100_000  # remembered, in each of two generations


class CachedPage(msgspec.Struct, array_like=True, frozen=True):
    """A page as it is sent, and the position of the log at which it was true."""

    epoch: str
    position: int
    senders: list[int]  # they see more than others: the keys of their own messages
    tag: str
    body: bytes


PACK, UNPACK = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(CachedPage)


class PageMemory:
    def __init__(self, log: "Log", page_cache: "PageCache | None") -> None:
        self._log = log
        self._page_cache = page_cache
        self._young: dict[int, ChatHead] = {}
        self._old: dict[int, ChatHead] = {}
        self._seen = Seen()
        self._members = 0  # of the young generation

    @property
    def cursor(self) -> Cursor:
        """Whatever is read after this knows everything up to here."""
        return self._log.followed_to

    async def may_be_believed(self, arrived_at: float) -> bool:
        """Has this process followed the log to a head that was read since the request arrived?"""
        if self._page_cache is None:
            return False
        try:
            await self._log.barrier(arrived_at)
        except Unavailable:
            return False  # the statement that follows will say what is wrong
        return True

    def find_chat(self, chat_id: int) -> "ChatHead | None":
        chat = self._young.get(chat_id) or self._old.get(chat_id)
        return chat if chat is not None and self._log.is_quiet(chat.cursor, chat_id=chat_id) else None

    def keep_chat(self, chat: "ChatHead") -> None:
        if self._page_cache is None:
            return
        self._young[chat.chat_id] = chat
        self._members += len(chat.read_cursors)
        if self._members > MOST_MEMBERS or len(self._young) > MOST_CHATS:
            self._young, self._old, self._members = {}, self._young, 0

    async def find_page(self, chat_id: int, name: str, reader: int) -> CachedPage | None:
        """The page of all readers, or for the sender of a message on it that sender's own page."""
        name = self._name(chat_id, name)
        page = await self._find(name, chat_id)
        return await self._find(f"{name} {reader}", chat_id) if page is None or reader in page.senders else page

    async def keep_page(
        self, chat: "ChatHead", query: "PageQuery", reader: int, senders: list[int], tag: str, body: bytes
    ) -> None:
        """Most pages in the middle of a chat are asked for once: they are kept at their second request."""
        if self._page_cache is None:
            return
        name = self._name(chat.chat_id, query.name)
        name = f"{name} {reader}" if reader in senders else name
        if not (query.is_at_an_end or self._seen.again(name)):
            return
        page = CachedPage(chat.cursor.epoch, chat.cursor.position, senders, tag, body)
        await self._page_cache.keep(name, PACK.encode(page))

    def _name(self, chat_id: int, name: str) -> str:
        return f"{self._log.followed_to.epoch} {chat_id} {name}"

    async def _find(self, name: str, chat_id: int) -> CachedPage | None:
        found = await self._page_cache.find(name) if self._page_cache is not None else None
        if found is None:
            return None
        try:
            page = UNPACK.decode(found)
        except msgspec.MsgspecError:  # of another version
            return None
        return page if self._log.is_quiet(Cursor(page.epoch, page.position), chat_id=chat_id) else None
