"""Accounts, sessions, what keeps a session alive, and what is remembered against guessing.

Secrets are kept as SHA-256 only: these tables do not help anybody to sign in.
"""

from datetime import datetime
from typing import Annotated

from sqlalchemy import ForeignKey, Identity, Index, LargeBinary, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from messenger.db.metadata import Table

Id = Annotated[int, mapped_column(Identity(), primary_key=True)]
Moment = Annotated[datetime, mapped_column(server_default=func.now())]
Digest = Annotated[bytes, mapped_column(LargeBinary)]
# Compared byte by byte: the order is the same everywhere, and a prefix is a range of the index.
Key = Annotated[str, mapped_column(Text(collation="C"), unique=True)]


class User(Table):
    """Without a `name_key` nobody can sign in: a guest of a test rig, or the tombstone of a deleted account."""

    __tablename__ = "users"

    id: Mapped[Id]
    name: Mapped[str]
    name_key: Mapped[Key | None]
    email: Mapped[str | None]
    email_key: Mapped[Key | None]
    password_hash: Mapped[str | None]
    password_set_at: Mapped[Moment]  # not moved by a rehash: tells a login whether it verified today's password
    display_name: Mapped[str] = mapped_column(server_default="")
    about: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[Moment]
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        Index("users_length_name_key_idx", text("length(name_key)"), "name_key"),
        Index(
            "users_name_key_trgm_idx", "name_key", postgresql_using="gin", postgresql_ops={"name_key": "gin_trgm_ops"}
        ),
    )


class Session(Table):
    """One row per device. `last_seen_at` may lag behind by a minute, so that reading stays reading."""

    __tablename__ = "sessions"

    id: Mapped[Id]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    token_hash: Mapped[Digest] = mapped_column(unique=True)
    client_id: Mapped[str | None]
    device_name: Mapped[str | None]
    created_at: Mapped[Moment]
    last_seen_at: Mapped[Moment]
    expires_at: Mapped[datetime]  # the end that no use puts off
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "sessions_live_device_idx",
            "user_id",
            "client_id",
            unique=True,
            postgresql_where=text("ended_at is null and client_id is not null"),
        ),
    )


class RefreshToken(Table):
    """A chain per session; a link is used once."""

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[Digest] = mapped_column(primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    issued_at: Mapped[Moment]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Ticket(Table):
    """Opens one socket, soon."""

    __tablename__ = "ws_tickets"

    ticket_hash: Mapped[Digest] = mapped_column(primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime]


class SignInLink(Table):
    """Signs its person in once, soon, and in place of a password: a new one ends the links made before."""

    __tablename__ = "sign_in_links"

    token_hash: Mapped[Digest] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    made_at: Mapped[Moment]
    expires_at: Mapped[datetime]


class LoginFailure(Table):
    """One wrong password. The name is kept as a digest: people type passwords into the wrong field.

    A right password clears `account` and leaves the row to the address.
    """

    __tablename__ = "login_failures"

    id: Mapped[Id]
    account: Mapped[Digest | None]
    address: Mapped[str]
    failed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = (
        Index("login_failures_account_idx", "account", "failed_at"),
        Index("login_failures_address_idx", "address", "failed_at"),
        Index("login_failures_failed_at_idx", "failed_at"),
    )


class Audit(Table):
    """What happened to accounts, sessions and memberships. Rows are added; a trigger refuses everything else."""

    __tablename__ = "audit"

    id: Mapped[Id]
    at: Mapped[Moment]
    event: Mapped[str]
    user_id: Mapped[int | None]
    session_id: Mapped[int | None]
    address: Mapped[str]
    request_id: Mapped[str]
    detail: Mapped[str] = mapped_column(server_default="")
    chat_id: Mapped[int | None]
    subject_id: Mapped[int | None]  # the person it was done to

    __table_args__ = (Index("audit_user_id_at_idx", "user_id", "at"),)
