"""Messages and reactions. A message's id is its position in the log; pages are read through (chat_id, seq) only."""

from datetime import datetime

from sqlalchemy import Identity, Index, SmallInteger, func
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from messenger.db.metadata import Table


class MessageRow(Table):
    __tablename__ = "messages"
    chat_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[int] = mapped_column(unique=True)
    sender_id: Mapped[int]
    key: Mapped[str]
    operation_id: Mapped[int | None] = mapped_column(SmallInteger)
    body_hash: Mapped[int]
    text: Mapped[str | None]
    reply_to: Mapped[int | None]
    sent_at: Mapped[datetime]
    edited_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    copy_id: Mapped[int | None]  # tells which of the sends with one client's key was stored
    __table_args__ = (
        Index("messages_key_idx", "chat_id", "sender_id", "key", unique=True),
        Index(
            "messages_operation_idx",
            "chat_id",
            "sender_id",
            "operation_id",
            "seq",
            postgresql_where=sql("operation_id is not null"),
        ),
    )


class ReactionRow(Table):
    __tablename__ = "reactions"
    chat_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    message_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    emoji: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class InboxDraft(Table):
    """What another application sent with `messenger.send`, until the inbox takes it."""

    __tablename__ = "inbox_drafts"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    chat_id: Mapped[int]
    sender_id: Mapped[int]
    key: Mapped[str]
    text: Mapped[str]
    reply_to: Mapped[int | None]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class InboxRefused(Table):
    """A draft that could not be sent when the inbox took it, and why."""

    __tablename__ = "inbox_refused"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    chat_id: Mapped[int]
    sender_id: Mapped[int]
    key: Mapped[str]
    text: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
