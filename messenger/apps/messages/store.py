"""What changes about messages, in the database. One function, one statement."""

from dataclasses import dataclass

from messenger.db.database import Transaction
from messenger.db.statements import text


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message stands, whose it is, and whether it is still there."""

    chat_id: int
    seq: int
    sender_id: int
    deleted: bool


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
