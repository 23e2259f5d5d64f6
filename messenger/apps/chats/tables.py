"""Chats and their members."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Identity, Index, Integer, func, text
from sqlalchemy.orm import Mapped, mapped_column

from messenger.db.metadata import Table

NOW = func.date_trunc("milliseconds", func.clock_timestamp())


class Chat(Table):
    __tablename__ = "chats"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(server_default="chat")
    name: Mapped[str | None]
    join_rule: Mapped[str] = mapped_column(server_default="open")
    creator_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    head_seq: Mapped[int] = mapped_column(server_default=text("0"))
    head_id: Mapped[int] = mapped_column(server_default=text("0"))
    floor_seq: Mapped[int] = mapped_column(server_default=text("0"))
    floor_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    read_seq: Mapped[int] = mapped_column(server_default=text("0"))
    deleted_at: Mapped[int | None]
    __table_args__ = (
        CheckConstraint("kind in ('chat', 'group', 'direct')", name="kind"),
        CheckConstraint("join_rule in ('open', 'invite')", name="join_rule"),
    )


class DirectChat(Table):
    __tablename__ = "direct_chats"
    low: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    high: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    chat_id: Mapped[int] = mapped_column(unique=True)


class MemberRow(Table):
    __tablename__ = "members"
    chat_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    role: Mapped[str] = mapped_column(server_default="member")
    name: Mapped[str | None]
    since: Mapped[int] = mapped_column(server_default=text("0"))
    read_seq: Mapped[int] = mapped_column(server_default=text("0"))
    muted_until: Mapped[datetime | None]
    joined_at: Mapped[datetime] = mapped_column(server_default=NOW)
    __table_args__ = (
        CheckConstraint("role in ('owner', 'admin', 'member')", name="role"),
        Index("members_user_idx", "user_id", "chat_id"),
    )


class FormerMember(Table):
    """A person who left messages behind: the chat shows their name, so it must hear when that changes."""

    __tablename__ = "former_members"
    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    chat_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
