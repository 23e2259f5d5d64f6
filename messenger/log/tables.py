"""The tables of the log. Only the functions in db/functions write them."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Identity, Index, func, text, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from messenger.db.metadata import Table


class LogHead(Table):
    __tablename__ = "log_head"
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[str]
    origin: Mapped[str]
    at: Mapped[datetime]


class LogEpoch(Table):
    __tablename__ = "log_epochs"
    number: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    epoch: Mapped[str] = mapped_column(unique=True)
    after_position: Mapped[int]
    origin: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class LogKept(Table):
    __tablename__ = "log_kept"
    __table_args__ = (CheckConstraint("one", name="one"),)
    one: Mapped[bool] = mapped_column(primary_key=True, server_default=true())
    after_position: Mapped[int] = mapped_column(server_default=text("0"))


class LogEntry(Table):
    __tablename__ = "log_entries"
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    topic_chat: Mapped[int | None]
    topic_user: Mapped[int | None]
    kind: Mapped[str]
    actor_id: Mapped[int | None]
    subject_id: Mapped[int | None]
    data: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    at: Mapped[datetime]
    __table_args__ = (
        Index("log_entries_chat_idx", "topic_chat", "position", postgresql_where=text("topic_chat is not null")),
        Index("log_entries_user_idx", "topic_user", "position", postgresql_where=text("topic_user is not null")),
    )


class LogFollower(Table):
    __tablename__ = "log_followers"
    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
