"""What the server shows, as values. Fields that a newer server adds are passed over."""

from datetime import datetime

from msgspec import Struct


class Reaction(Struct, frozen=True):
    emoji: str
    user_ids: tuple[str, ...]


class Message(Struct, frozen=True):
    """A deleted one keeps its place, without its words. `client_id`: the key it was sent with, shown to its sender."""

    message_id: str
    chat_id: str
    seq: int
    sender_id: str
    sender_name: str
    text: str
    sent_at: datetime
    edited_at: datetime | None
    deleted: bool
    reply_to: str | None
    reactions: tuple[Reaction, ...]
    is_read: bool
    client_id: str | None = None


class LastMessage(Struct, frozen=True):
    message_id: str
    seq: int
    sender_id: str
    sender_name: str
    text: str
    sent_at: datetime
    deleted: bool


class KnownChat(Struct, frozen=True):
    """A chat as it is for everybody in it; a direct chat has no name that would be the same for both."""

    chat_id: str
    kind: str
    name: str | None
    join: str
    creator_id: str | None
    created_at: datetime
    member_count: int
    head_seq: int


class Chat(Struct, frozen=True):
    """A chat as I see it. `peer_id`: the other person of a direct chat."""

    chat_id: str
    kind: str
    name: str
    join: str
    role: str | None
    creator_id: str | None
    created_at: datetime
    member_count: int
    last_message: LastMessage | None
    head_seq: int
    read_seq: int
    read_by_all_seq: int
    unread: int
    muted_until: datetime | None
    peer_id: str | None = None


class Member(Struct, frozen=True):
    """Somebody as a chat knows them; without a role they are not in it any more."""

    user_id: str
    user_name: str
    role: str | None


class Read(Struct, frozen=True):
    """Somebody's marker moved over these messages; `message_id` is the last of them."""

    user_id: str
    from_seq: int
    to_seq: int
    message_id: str


class Account(Struct, frozen=True):
    user_id: str
    user_name: str
    email: str | None
    display_name: str
    about: str
    created_at: datetime


class Registered(Struct, frozen=True):
    user_id: str
    user_name: str
    email: str | None


class SignedIn(Struct, frozen=True):
    """`session_id` opens everything: it is as good as the password."""

    user_id: str
    user_name: str
    session_id: str


class State(Struct, frozen=True):
    """All of mine at one moment; the events after `cursor` are what happened since."""

    user: Account
    chats: tuple[Chat, ...]
    cursor: str
