"""Messages in the database. One function, one statement; pages walk (chat_id, seq) and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger

from messenger.apps.messages.schemas import Message, Reaction
from messenger.db.engine import Transaction
from messenger.text import rfc3339

# A message as everybody in the chat sees it now. `is_read` never falls back: the chat keeps how far all have read.
COLUMNS = """
    g.id, g.chat_id, g.seq, g.sender_id, coalesce(m.name, u.name, '') as sender_name, g.text, g.sent_at, g.edited_at,
    g.deleted_at is not null as deleted, g.reply_to, g.key, g.seq <= c.read_seq as is_read,
    (select jsonb_object_agg(r.emoji, r.people) from (
        select r.emoji, jsonb_agg(r.user_id::text order by r.at, r.user_id) as people from reactions r
         where r.chat_id = g.chat_id and r.message_id = g.id group by r.emoji) r) as reactions
"""
JOINED = """
    from messages g
    join chats c on c.id = g.chat_id
    left join users u on u.id = g.sender_id
    left join members m on m.chat_id = g.chat_id and m.user_id = g.sender_id
"""
BY_ID = text(f"select {COLUMNS} {JOINED} where g.id = any(:ids)").bindparams(bindparam("ids", type_=ARRAY(BigInteger)))


@dataclass(frozen=True, slots=True)
class Shown:
    """A message for its readers, and what only its sender may know."""

    message: Message
    chat_id: int
    sender_id: int
    key: str

    @property
    def place(self) -> tuple[int, int, str]:
        return self.chat_id, self.sender_id, self.key

    @property
    def client_id(self) -> str | None:
        return self.key[2:] if self.key.startswith("c:") else None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message stands, whose it is, and whether it is still there."""

    chat_id: int
    seq: int
    sender_id: int
    deleted: bool


async def by_ids(tx: Transaction, ids: Sequence[int]) -> dict[int, Shown]:
    rows = await tx.session.execute(BY_ID, {"ids": list(ids)})
    return {row.id: shown(row) for row in rows}


async def find_place(tx: Transaction, message_id: int) -> Place | None:
    row = (
        await tx.session.execute(
            text("select chat_id, seq, sender_id, deleted_at is not null as deleted from messages where id = :id"),
            {"id": message_id},
        )
    ).one_or_none()
    return Place(row.chat_id, row.seq, row.sender_id, row.deleted) if row else None


async def lock_chat(tx: Transaction, chat_id: int) -> bool:
    """Before a message of it is changed: the chat's lock orders all that happens in it. Is it there?"""
    statement = text("select 1 from chats where id = :chat and deleted_at is null for no key update")
    return (await tx.session.execute(statement, {"chat": chat_id})).first() is not None


async def session_lives(tx: Transaction, session_id: int) -> bool:
    # FOR SHARE: a logout that comes meanwhile waits until this is written, so nothing is written after its answer.
    statement = text("select 1 from sessions where id = :id and ended_at is null for share")
    return (await tx.session.execute(statement, {"id": session_id})).first() is not None


async def edit(tx: Transaction, chat_id: int, seq: int, words: str) -> None:
    await tx.session.execute(
        text(
            "update messages set text = :words, edited_at = date_trunc('milliseconds', clock_timestamp())"
            " where chat_id = :chat and seq = :seq"
        ),
        {"chat": chat_id, "seq": seq, "words": words},
    )


async def bury(tx: Transaction, chat_id: int, seq: int) -> None:
    """A tombstone keeps the place and the number; the words are gone."""
    await tx.session.execute(
        text(
            "update messages set text = '', deleted_at = date_trunc('milliseconds', clock_timestamp())"
            " where chat_id = :chat and seq = :seq"
        ),
        {"chat": chat_id, "seq": seq},
    )


async def clear_reactions(tx: Transaction, chat_id: int, message_id: int) -> None:
    await tx.session.execute(
        text("delete from reactions where chat_id = :chat and message_id = :message"),
        {"chat": chat_id, "message": message_id},
    )


async def react(tx: Transaction, chat_id: int, message_id: int, user_id: int, emoji: str) -> bool:
    found = await tx.session.execute(
        text(
            "insert into reactions (chat_id, message_id, emoji, user_id) values (:chat, :message, :emoji, :person)"
            " on conflict do nothing returning 1"
        ),
        {"chat": chat_id, "message": message_id, "emoji": emoji, "person": user_id},
    )
    return found.first() is not None


async def unreact(tx: Transaction, chat_id: int, message_id: int, user_id: int, emoji: str) -> bool:
    found = await tx.session.execute(
        text(
            "delete from reactions where chat_id = :chat and message_id = :message and emoji = :emoji"
            " and user_id = :person returning 1"
        ),
        {"chat": chat_id, "message": message_id, "emoji": emoji, "person": user_id},
    )
    return found.first() is not None


async def count_reactions(tx: Transaction, chat_id: int, message_id: int) -> int:
    """How many different ones stand on a message."""
    statement = text("select count(distinct emoji) from reactions where chat_id = :chat and message_id = :message")
    return int((await tx.session.execute(statement, {"chat": chat_id, "message": message_id})).scalar_one())


def shown(row: Any) -> Shown:
    message = Message(
        message_id=str(row.id),
        id=str(row.id),
        chat_id=str(row.chat_id),
        seq=row.seq,
        sender_id=str(row.sender_id),
        sender_name=row.sender_name,
        text=row.text or "",
        sent_at=rfc3339(row.sent_at),
        edited_at=moment(row.edited_at),
        deleted=row.deleted,
        reply_to=str(row.reply_to) if row.reply_to is not None else None,
        reactions=[Reaction(emoji, people) for emoji, people in sorted((row.reactions or {}).items())],
        is_read=row.is_read,
    )
    return Shown(message, row.chat_id, row.sender_id, row.key)


def moment(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
