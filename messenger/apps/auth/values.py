"""The values between the edge and the tables, and their JSON."""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from messenger.identity import SessionId, UserId
from messenger.text import rfc3339


class AuditEvent(StrEnum):
    """The events of the audit."""

    REGISTERED = "registered"
    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    LOGIN_LIMITED = "login_limited"
    LOGOUT = "logout"
    LINK_MADE = "link_made"
    REFRESH_REUSED = "refresh_reused"
    PASSWORD_CHANGED = "password_changed"
    SESSION_ENDED = "session_ended"
    ACCOUNT_DELETED = "account_deleted"
    MEMBER_ADDED = "member_added"
    MEMBER_REMOVED = "member_removed"
    ROLE_CHANGED = "role_changed"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """The person who did it and the address; in a chat also the member it was about."""

    event: AuditEvent
    address: str
    request_id: str
    user_id: UserId | None = None
    session_id: SessionId | None = None
    detail: str = ""
    chat_id: int | None = None
    subject_id: UserId | None = None


@dataclass(frozen=True, slots=True)
class Device:
    client_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions of a person end: all, unless narrowed."""

    only: SessionId | None = None
    but: SessionId | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """What a login needs to know of an account."""

    user_id: UserId
    name: str
    password_hash: str | None
    password_set_at: datetime


@dataclass(frozen=True, slots=True)
class Profile:
    user_id: UserId
    name: str
    email: str | None
    display_name: str
    about: str
    created_at: datetime
    is_deleted: bool

    def as_own(self) -> dict[str, Any]:
        return {**self.as_seen(), "email": self.email}

    def as_seen(self) -> dict[str, Any]:
        """What others may know."""
        return {
            "user_id": str(self.user_id),
            "user_name": self.name,
            "display_name": self.display_name,
            "about": self.about,
            "created_at": rfc3339(self.created_at),
            "deleted": self.is_deleted,
        }


@dataclass(frozen=True, slots=True)
class SessionState:
    """What the row says at this moment, by the database's clock."""

    session_id: SessionId
    user_id: UserId
    has_ended: bool
    left: float  # seconds until the end that no use puts off
    quiet_for: float

    @property
    def has_expired(self) -> bool:
        return self.left <= 0


@dataclass(frozen=True, slots=True)
class RefreshState:
    """One link of the chain; `used_for`: seconds since it was spent, None while it is good."""

    used_for: float | None
    left: float


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as its owner sees it."""

    session_id: SessionId
    client_id: str | None
    device_name: str | None
    created_at: datetime
    last_seen_at: datetime

    def as_answer(self) -> dict[str, Any]:
        return {
            "id": str(self.session_id),
            "device_name": self.device_name,
            "client_id": self.client_id,
            "created_at": rfc3339(self.created_at),
            "last_seen_at": rfc3339(self.last_seen_at),
        }

    def as_seen_from(self, current: SessionId) -> dict[str, Any]:
        return {**self.as_answer(), "current": self.session_id == current}


@dataclass(frozen=True, slots=True)
class Pair:
    access_token: str
    refresh_token: str
    expires_in: int
    refresh_expires_in: int

    def as_answer(self) -> dict[str, Any]:
        return {**asdict(self), "token_type": "bearer"}


@dataclass(frozen=True, slots=True)
class SignedIn:
    user_id: UserId
    name: str
    session_token: str
    pair: Pair

    def as_answer(self) -> dict[str, Any]:
        return {
            "session_id": self.session_token,
            **self.pair.as_answer(),
            "user_id": str(self.user_id),
            "user_name": self.name,
            "login": self.name,
        }
