"""Messages as they are now: single ones, and pages of a chat's history.

A page is kept while nothing has happened in its chat, else read in as little as that takes.

What is remembered (who is in the chat, names, marks, whole pages) was true when the log stood at a place, and is used
only while this process, having followed the log to a head read after the request came, knows of nothing later in that
chat. The rows themselves are read in a statement that looks at the door once more.
"""

import hashlib
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from messenger.apps.messages.schemas import Message, Next, Page, Reaction, ReadCursor, Shown, client_id
from messenger.errors import ChatNotFound, MessageNotFound
from messenger.identity import Identity
from messenger.log.entries import Cursor
from messenger.log.follow import Log
from messenger.log.line import LineLost, Lines
from messenger.text import rfc3339_ms
from messenger.web.keys import DATABASE, LOG, MESSAGES_NOW
from messenger.web.reply import ENCODER
from messenger.web.shelf import SHELF, Shelf

MOST_CHATS, MOST_SEATS = 2_000, 100_000  # remembered with all who are in them, in two generations

CHAT = """
    select c.head_seq, c.read_seq, exists(select from reactions r where r.chat_id = c.id) as has_reactions,
           array(select (m.user_id, g.id, m.read_seq)::text
                   from members m left join messages g on g.chat_id = m.chat_id and g.seq = m.read_seq
                  where m.chat_id = c.id order by m.user_id) as marks
      from chats c where c.id = $1 and c.deleted_at is null
"""
NAMES = """
    select u.id, coalesce(m.name, u.name) as name
      from users u left join members m on m.chat_id = $1 and m.user_id = u.id where u.id = any($2)
"""
# `$4`: whose eyes; null on a rig where everybody may read everything. Seen by one snapshot: the door and the rows.
ROWS = """
    select g.id, g.seq, g.sender_id, g.text, (extract(epoch from g.sent_at) * 1000)::bigint as sent,
           (extract(epoch from g.edited_at) * 1000)::bigint as edited, g.deleted_at is not null as deleted,
           g.reply_to, g.key
      from messages g
     where g.chat_id = $1 and g.seq {from_seq}
       and exists(select from chats c where c.id = $1 and c.deleted_at is null)
       and ($4::bigint is null or exists(select from members m where m.chat_id = $1 and m.user_id = $4))
     order by g.seq {direction} limit $3
"""
FORWARD = ROWS.format(from_seq=">= $2", direction="asc")
BACKWARD = ROWS.format(from_seq="< $2", direction="desc")
REACTIONS = """
    select r.message_id, r.emoji, array_agg(r.user_id::text order by r.at, r.user_id) as people
      from reactions r where r.chat_id = $1 and r.message_id between $2 and $3
     group by r.message_id, r.emoji order by r.message_id, r.emoji
"""
# `is_read` never falls back: the chat keeps how far all have read.
NOW = """
    select g.id, g.seq, g.sender_id, g.text, (extract(epoch from g.sent_at) * 1000)::bigint as sent,
           (extract(epoch from g.edited_at) * 1000)::bigint as edited, g.deleted_at is not null as deleted,
           g.reply_to, g.key, g.chat_id, coalesce(m.name, u.name, '') as name, g.seq <= c.read_seq as is_read,
           (select jsonb_object_agg(r.emoji, r.people) from (
               select r.emoji, jsonb_agg(r.user_id::text order by r.at, r.user_id) as people from reactions r
                where r.chat_id = g.chat_id and r.message_id = g.id group by r.emoji) r) as reactions
      from messages g
      join chats c on c.id = g.chat_id
      left join users u on u.id = g.sender_id
      left join members m on m.chat_id = g.chat_id and m.user_id = g.sender_id
     where g.id = any($1)
"""
OWN = """
    select g.id, g.seq, g.key from messages g
     where g.chat_id = $1 and g.seq between $2 and $3 and g.sender_id = $4 order by g.seq limit $5
"""
# Keys are unique per sender, so the members are tried one by one, by the index.
BY_KEY = """
    select max(g.id) as id
      from members m join messages g on g.chat_id = m.chat_id and g.sender_id = m.user_id and g.key = $2
     where m.chat_id = $1
"""
SEQ = "select seq from messages where id = $1 and chat_id = $2"


@dataclass(frozen=True, slots=True)
class Where:
    """Which page of the history: at most one of them."""

    from_seq: int | None = None
    before: int | None = None
    after: int | None = None
    around: int | None = None

    @property
    def name(self) -> str:
        return f"{self.from_seq} {self.before} {self.after} {self.around}"


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """A page as it is answered, and what must still hold for it to be."""

    epoch: str
    position: int
    senders: list[int]  # who see more in it than others: the keys of their own messages
    tag: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Own:
    """A message of mine among those that somebody has read."""

    message_id: int
    seq: int
    key: str


@dataclass(slots=True)
class Chat:
    """What all pages of a chat share."""

    chat_id: int
    place: Cursor
    head_seq: int
    read_seq: int
    has_reactions: bool
    marks: list[ReadCursor]
    members: frozenset[int]
    names: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    tag: str


PACK, UNPACK = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Kept)


class History:
    def __init__(self, lines: Lines, log: Log, shelf: Shelf | None) -> None:
        self._lines = lines
        self._log = log
        self._shelf = shelf
        self._young: dict[int, Chat] = {}
        self._old: dict[int, Chat] = {}
        self._seats = 0  # of the young ones

    async def now(self, ids: Collection[int]) -> dict[int, Shown]:
        """Whatever of these is there, the same for everybody."""
        return {row["id"]: one(row) for row in await self._lines.rows(NOW, ids)}

    async def page(self, me: Identity | None, chat_id: int, where: Where, limit: int, came: float) -> Answer:
        """Ascending. `next.iterator` is the number to go on from: a page at the end repeats it, so it can be polled."""
        follows = await self._follows(came)
        chat = await self._enter(me, chat_id, follows)
        viewer = me.user_id if me is not None else 0
        common = f"{self._log.place.epoch} {chat_id} {where.name} {limit}"
        own = f"{common} {viewer}"
        if follows:
            kept = await self._find(common, chat_id)
            if kept is None or viewer in kept.senders:
                kept = await self._find(own, chat_id)
            if kept is not None:
                return Answer(kept.body, kept.tag)
        body, senders = await self._read(chat, me, where, limit)
        tag = hashlib.sha256(body).hexdigest()[:32]
        if self._shelf is not None:
            kept = Kept(chat.place.epoch, chat.place.position, senders, tag, body)
            await self._shelf.keep(own if viewer in senders else common, PACK.encode(kept))
        return Answer(body, tag)

    async def offset_page(
        self, me: Identity | None, chat_id: int, later_than: int | None, offset: int, limit: int, came: float
    ) -> list[Message]:
        """Numbers have no holes, so an offset is a number: the cost of a page does not grow with it."""
        chat = await self._enter(me, chat_id, await self._follows(came))
        start = 0 if later_than is None else await self._seq_of(chat_id, later_than)
        rows = await self._rows(chat, me, FORWARD, start + offset + 1, limit)
        return await self._shown(chat, me, rows)

    async def read_cursors(self, me: Identity | None, chat_id: int, came: float) -> list[ReadCursor]:
        """How far everybody has read."""
        return (await self._enter(me, chat_id, await self._follows(came))).marks

    async def own(self, user_id: int, chat_id: int, from_seq: int, to_seq: int, most: int) -> list[Own]:
        """What this person said within a run of messages, for whoever tells of the run message by message."""
        rows = await self._lines.rows(OWN, chat_id, from_seq, to_seq, user_id, most)
        return [Own(row["id"], row["seq"], row["key"]) for row in rows]

    async def find_by_key(self, chat_id: int, key: str) -> int | None:
        found: int | None = (await self._lines.rows(BY_KEY, chat_id, key))[0]["id"]
        return found

    async def _find(self, name: str, chat_id: int) -> Kept | None:
        found = await self._shelf.find(name) if self._shelf is not None else None
        if found is None:
            return None
        try:
            kept = UNPACK.decode(found)
        except msgspec.MsgspecError:  # of another version
            return None
        return kept if self._log.is_quiet(Cursor(kept.epoch, kept.position), chat_id=chat_id) else None

    async def _follows(self, came: float) -> bool:
        """Has this process followed the log to a head read since? What is remembered may be believed only then."""
        if self._shelf is None:
            return False
        try:
            await self._log.barrier(came)
        except LineLost:
            return False  # the database itself says what is wrong
        return True

    async def _enter(self, me: Identity | None, chat_id: int, follows: bool) -> Chat:
        chat = self._young.get(chat_id) or self._old.get(chat_id) if follows else None
        if chat is None or not self._log.is_quiet(chat.place, chat_id=chat_id):
            chat = await self._look(chat_id)
        if me is not None and not me.reads_all and me.user_id not in chat.members:
            raise ChatNotFound
        return chat

    async def _look(self, chat_id: int) -> Chat:
        place = self._log.place
        rows = await self._lines.rows(CHAT, chat_id)
        if not rows:
            raise ChatNotFound
        row = rows[0]
        marks = [read_mark(text) for text in row["marks"]]
        members = frozenset(int(mark.user_id) for mark in marks)
        chat = Chat(chat_id, place, row["head_seq"], row["read_seq"], row["has_reactions"], marks, members)
        self._young[chat_id] = chat
        self._seats += len(members)
        if self._seats > MOST_SEATS or len(self._young) > MOST_CHATS:
            self._young, self._old, self._seats = {}, self._young, 0
        return chat

    async def _read(self, chat: Chat, me: Identity | None, where: Where, limit: int) -> tuple[bytes, list[int]]:
        if where.before is not None:
            upto = await self._seq_of(chat.chat_id, where.before)
            rows = (await self._rows(chat, me, BACKWARD, upto, limit))[::-1]
        else:
            rows = await self._rows(chat, me, FORWARD, await self._start(chat.chat_id, where, limit), limit)
        messages = await self._shown(chat, me, rows)
        last = messages[-1].seq if messages else None
        next_seq = last + 1 if last is not None else (where.from_seq or chat.head_seq + 1)
        is_first = where.before is not None and bool(messages)
        has_more = messages[0].seq > 1 if is_first else (last or 0) < chat.head_seq and bool(messages)
        page = Page(messages, Next(str(next_seq)), chat.marks, has_more)
        return ENCODER.encode(page), sorted({row["sender_id"] for row in rows})

    async def _start(self, chat_id: int, where: Where, limit: int) -> int:
        if where.after is not None:
            return await self._seq_of(chat_id, where.after) + 1
        if where.around is not None:
            return max(1, await self._seq_of(chat_id, where.around) - limit // 2)
        return where.from_seq or 1

    async def _rows(self, chat: Chat, me: Identity | None, statement: str, seq: int, limit: int) -> Sequence[Any]:
        eyes = None if me is None or me.reads_all else me.user_id
        rows = await self._lines.rows(statement, chat.chat_id, seq, limit, eyes)
        if not rows:  # the end of the chat, or the door has been shut meanwhile
            chat = await self._look(chat.chat_id)
            if eyes is not None and eyes not in chat.members:
                raise ChatNotFound
        return rows

    async def _shown(self, chat: Chat, me: Identity | None, rows: Sequence[Any]) -> list[Message]:
        unknown = {row["sender_id"] for row in rows} - chat.names.keys()
        if unknown:
            found = await self._lines.rows(NAMES, chat.chat_id, list(unknown))
            chat.names |= dict.fromkeys(unknown, "") | dict(found)  # not before: others read meanwhile
        reactions: dict[int, list[Reaction]] = {}
        if rows and chat.has_reactions:
            for row in await self._lines.rows(REACTIONS, chat.chat_id, rows[0]["id"], rows[-1]["id"]):
                reactions.setdefault(row["message_id"], []).append(Reaction(row["emoji"], row["people"]))
        viewer = me.user_id if me is not None else 0
        return [shown(chat, row, reactions.get(row["id"]) or [], viewer) for row in rows]

    async def _seq_of(self, chat_id: int, message_id: int) -> int:
        rows = await self._lines.rows(SEQ, message_id, chat_id)
        if not rows:
            raise MessageNotFound
        return int(rows[0]["seq"])


def read_mark(text: str) -> ReadCursor:
    """A row of three numbers as PostgreSQL writes it: `(7,,0)` for whoever has read nothing."""
    user_id, message_id, read_seq = text[1:-1].split(",")
    return ReadCursor(user_id, message_id or None, int(read_seq))


def one(row: Any) -> Shown:
    found = msgspec.json.decode(row["reactions"] or b"{}")
    reactions = [Reaction(emoji, people) for emoji, people in sorted(found.items())]
    message = told(row, row["chat_id"], row["name"], row["is_read"], reactions)
    return Shown(message, row["chat_id"], row["sender_id"], row["key"])


def shown(chat: Chat, row: Any, reactions: list[Reaction], viewer: int) -> Message:
    own = client_id(row["key"]) if row["sender_id"] == viewer else msgspec.UNSET
    name, is_read = chat.names[row["sender_id"]], row["seq"] <= chat.read_seq
    return told(row, chat.chat_id, name, is_read, reactions, own)


def told(
    row: Any,
    chat_id: int,
    sender_name: str,
    is_read: bool,
    reactions: list[Reaction],
    own: str | None | msgspec.UnsetType = msgspec.UNSET,
) -> Message:
    position, seq, sender_id, text, sent, edited, deleted, reply_to = row[:8]
    return Message(
        message_id=(name := str(position)),
        id=name,
        chat_id=str(chat_id),
        seq=seq,
        sender_id=str(sender_id),
        sender_name=sender_name,
        text=text or "",
        sent_at=rfc3339_ms(sent),
        edited_at=None if edited is None else rfc3339_ms(edited),
        deleted=deleted,
        reply_to=None if reply_to is None else str(reply_to),
        reactions=reactions,
        is_read=is_read,
        client_id=own,
    )


HISTORY: web.AppKey[History] = web.AppKey("history", History)


async def context(root: web.Application) -> AsyncIterator[None]:
    history = root[HISTORY] = History(root[DATABASE].lines, root[LOG], root.get(SHELF))
    root[MESSAGES_NOW] = history.now
    yield
