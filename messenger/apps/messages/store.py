"""How messages are read and changed in the database. One function, one statement.

Reads go over the connections of the pages, and their rows come as they are, for `rendering`; changes are part of a
transaction of the service.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from messenger.apps.messages.schemas import Reaction, ReadCursor, ReadMessage

if TYPE_CHECKING:
    from messenger.db.connection import ConnectionSet
    from messenger.db.database import Transaction
    from messenger.log.entries import Cursor

# Markers and names are looked up one by one: a join may read all messages or members of a large chat.
CHAT = """
    select c.head_seq, c.read_seq, exists(select from reactions r where r.chat_id = c.id) as has_reactions,
           array(select (m.user_id, (select g.id from messages g where g.chat_id = c.id and g.seq = m.read_seq),
                         m.read_seq)::text
                   from members m where m.chat_id = c.id order by m.user_id) as marks
      from chats c where c.id = $1 and c.deleted_at is null
"""
NAMES = """
    select u.id, coalesce((select m.name from members m where m.chat_id = $1 and m.user_id = u.id), u.name) as name
      from users u where u.id = any($2)
"""
# `reader`: null where everybody may read. One snapshot sees the membership and the rows.
MESSAGES = """
    select g.*, p.n
      from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
           with ordinality p(chat_id, first_seq, count, reader, n)
     cross join lateral (
        select g.id, g.seq, g.sender_id, g.text, (date_part('epoch', g.sent_at) * 1000)::bigint as sent,
               (date_part('epoch', g.edited_at) * 1000)::bigint as edited, g.deleted_at is not null as deleted,
               g.reply_to, g.key
          from messages g
         where g.chat_id = p.chat_id and g.seq >= p.first_seq
           and exists(select from chats c where c.id = p.chat_id and c.deleted_at is null)
           and (p.reader is null or exists(
               select from members m where m.chat_id = p.chat_id and m.user_id = p.reader))
         order by g.seq limit p.count) g
"""
REACTIONS = """
    select r.message_id, r.emoji, array_agg(r.user_id::text order by r.at, r.user_id) as people
      from reactions r where r.chat_id = $1 and r.message_id between $2 and $3
     group by r.message_id, r.emoji order by r.message_id, r.emoji
"""
# `is_read` never becomes false again: the chat keeps how far all members have read.
CURRENT = """
    select g.id, g.seq, g.sender_id, g.text, (date_part('epoch', g.sent_at) * 1000)::bigint as sent,
           (date_part('epoch', g.edited_at) * 1000)::bigint as edited, g.deleted_at is not null as deleted,
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
# Keys are unique per sender, so the index is asked for each member.
BY_KEY = """
    select max(g.id) as id
      from members m join messages g on g.chat_id = m.chat_id and g.sender_id = m.user_id and g.key = $2
     where m.chat_id = $1
"""
SEQ = "select seq from messages where id = $1 and chat_id = $2"
# Numbers have no holes and rise with the ids, so a binary search finds the place of an id that is no message here.
NEAREST = """
    with recursive halves as (
        select 1::bigint as low, head_seq + 1 as high from chats where id = $2
        union all
        select case when g.id < $1 then g.seq + 1 else h.low end, case when g.id < $1 then h.high else g.seq end
          from halves h join messages g on g.chat_id = $2 and g.seq = (h.low + h.high) / 2
         where h.low < h.high
    )
    select low as seq from halves where low = high
"""


@dataclass(slots=True)
class ChatHead:
    """What all pages of a chat share, as it was when the log stood at `cursor`."""

    chat_id: int
    cursor: "Cursor"
    head_seq: int
    read_seq: int  # how far all have read
    has_reactions: bool
    read_cursors: Mapping[int, ReadCursor]  # of every member
    names: dict[int, str] = field(default_factory=dict)  # of senders, as far as they were asked for


async def find_chat(lines: "ConnectionSet", chat_id: int, cursor: "Cursor") -> ChatHead | None:
    rows = await lines.rows(CHAT, chat_id)
    if not rows:
        return None
    head_seq, read_seq, has_reactions, marks = rows[0]
    return ChatHead(chat_id, cursor, head_seq, read_seq, has_reactions, dict(map(_read_cursor, marks)))


def _read_cursor(row: str) -> tuple[int, ReadCursor]:
    """From three numbers as PostgreSQL writes them: `(7,,0)` has read nothing."""
    user_id, message_id, read_seq = row[1:-1].split(",")
    return int(user_id), ReadCursor(user_id, message_id or None, int(read_seq))


async def find_names(lines: "ConnectionSet", chat_id: int, people: Iterable[int]) -> dict[int, str]:
    """The names of these people in this chat; empty if the row is gone."""
    wanted = list(people)
    return dict.fromkeys(wanted, "") | dict(await lines.rows(NAMES, chat_id, wanted))


@dataclass(frozen=True, slots=True)
class Span:
    """Messages of a chat from a number on, for one reader (None: everybody may read it)."""

    chat_id: int
    first_seq: int
    count: int
    reader: int | None


async def find_messages(lines: "ConnectionSet", spans: Sequence[Span]) -> list[list[Any]]:
    """The rows of each, in the order of their numbers."""
    found: list[list[Any]] = [[] for _ in spans]
    columns = zip(*((one.chat_id, one.first_seq, one.count, one.reader) for one in spans), strict=True)
    for row in await lines.rows(MESSAGES, *columns):
        found[row["n"] - 1].append(row)
    for rows in found:
        rows.sort(key=by_seq)  # a join promises no order, though it keeps it
    return found


by_seq = itemgetter(1)


async def find_reactions(
    lines: "ConnectionSet", chat_id: int, first_id: int, last_id: int
) -> dict[int, list[Reaction]]:
    found: dict[int, list[Reaction]] = {}
    for message_id, emoji, people in await lines.rows(REACTIONS, chat_id, first_id, last_id):
        found.setdefault(message_id, []).append(Reaction(emoji, people))
    return found


async def find_current(lines: "ConnectionSet", message_ids: Collection[int]) -> Sequence[Any]:
    return await lines.rows(CURRENT, message_ids)


async def find_own(
    lines: "ConnectionSet", chat_id: int, from_seq: int, to_seq: int, sender_id: int, most: int
) -> list[ReadMessage]:
    return [ReadMessage(*row) for row in await lines.rows(OWN, chat_id, from_seq, to_seq, sender_id, most)]


async def find_by_key(lines: "ConnectionSet", chat_id: int, key: str) -> int | None:
    found: int | None = (await lines.rows(BY_KEY, chat_id, key))[0]["id"]
    return found


async def find_seq(lines: "ConnectionSet", chat_id: int, message_id: int) -> int | None:
    rows = await lines.rows(SEQ, message_id, chat_id)
    return rows[0]["seq"] if rows else None


async def find_nearest_seq(lines: "ConnectionSet", chat_id: int, message_id: int) -> int:
    """The number of the first message of this chat after this id, or the next number to be given."""
    rows = await lines.rows(NEAREST, message_id, chat_id)
    return rows[0]["seq"] if rows else 1


# --- changing

NOW = "date_trunc('milliseconds', clock_timestamp())"


@dataclass(frozen=True, slots=True)
class MessageState:
    """The chat, number and sender of a message, and whether it was deleted."""

    chat_id: int
    seq: int
    sender_id: int
    deleted: bool


async def find_state(tx: "Transaction", message_id: int) -> MessageState | None:
    statement = "select chat_id, seq, sender_id, deleted_at is not null from messages where id = :id"
    row = (await tx.run(statement, id=message_id)).one_or_none()
    return MessageState(*row) if row else None


async def lock_chat(tx: "Transaction", chat_id: int) -> bool:
    """Before a message is changed: this lock orders all that happens in a chat. False: there is no such chat."""
    statement = "select 1 from chats where id = :chat and deleted_at is null for no key update"
    return (await tx.run(statement, chat=chat_id)).first() is not None


async def session_lives(tx: "Transaction", session_id: int) -> bool:
    # FOR SHARE: a logout that comes meanwhile waits until this is written, so nothing is written after its answer.
    statement = "select 1 from sessions where id = :id and ended_at is null for share"
    return (await tx.run(statement, id=session_id)).first() is not None


async def edit(tx: "Transaction", chat_id: int, seq: int, words: str) -> None:
    await _change(tx, chat_id, seq, f"text = :words, edited_at = {NOW}", words=words)


async def mark_deleted(tx: "Transaction", chat_id: int, seq: int) -> None:
    """The row stays with its number as a tombstone; its text is gone."""
    await _change(tx, chat_id, seq, f"text = '', deleted_at = {NOW}")


async def _change(tx: "Transaction", chat_id: int, seq: int, changes: str, **given: str) -> None:
    await tx.run(f"update messages set {changes} where chat_id = :chat and seq = :seq", chat=chat_id, seq=seq, **given)


async def clear_reactions(tx: "Transaction", chat_id: int, message_id: int) -> None:
    statement = "delete from reactions where chat_id = :chat and message_id = :message"
    await tx.run(statement, chat=chat_id, message=message_id)


async def react(tx: "Transaction", chat_id: int, message_id: int, user_id: int, emoji: str) -> bool:
    statement = """
        insert into reactions (chat_id, message_id, emoji, user_id) values (:chat, :message, :emoji, :person)
            on conflict do nothing returning 1
        """
    found = await tx.run(statement, chat=chat_id, message=message_id, emoji=emoji, person=user_id)
    return found.first() is not None


async def unreact(tx: "Transaction", chat_id: int, message_id: int, user_id: int, emoji: str) -> bool:
    statement = """
        delete from reactions where chat_id = :chat and message_id = :message and emoji = :emoji and user_id = :person
        returning 1
        """
    found = await tx.run(statement, chat=chat_id, message=message_id, emoji=emoji, person=user_id)
    return found.first() is not None


async def count_reactions(tx: "Transaction", chat_id: int, message_id: int) -> int:
    """How many different reactions a message has."""
    statement = "select count(distinct emoji) from reactions where chat_id = :chat and message_id = :message"
    return int((await tx.run(statement, chat=chat_id, message=message_id)).scalar_one())
