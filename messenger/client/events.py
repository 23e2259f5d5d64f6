"""What happens, one class for each kind of event: docs/protocol.md says what each means."""

from datetime import datetime
from typing import Any

import msgspec

from messenger.client.values import Account, KnownChat, Member, Message, Reaction, Read


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """`cursor`: its place in the log. What happens in passing (who is typing) has none."""

    cursor: str | None = None
    log: int = 0


class NewMessage(Event, frozen=True, tag="new_message"):
    chat_id: str
    message: Message


class MessageEdited(Event, frozen=True, tag="message_edited"):
    chat_id: str
    actor_id: str
    message: Message


class MessageDeleted(Event, frozen=True, tag="message_deleted"):
    chat_id: str
    actor_id: str
    message: Message


class ReactionChanged(Event, frozen=True, tag="reaction"):
    """`reactions`: all of them, as they are now."""

    chat_id: str
    message_id: str
    user_id: str
    emoji: str
    action: str
    reactions: tuple[Reaction, ...]


class MessageRead(Event, frozen=True, tag="message_read"):
    chat_id: str
    reads: tuple[Read, ...]


class MessageReadByAll(Event, frozen=True, tag="message_read_by_all"):
    chat_id: str
    from_seq: int
    to_seq: int
    message_id: str


class MemberAdded(Event, frozen=True, tag="member_added"):
    chat_id: str
    user_id: str
    actor_id: str | None
    member: Member
    member_count: int


class MemberChanged(Event, frozen=True, tag="member_changed"):
    chat_id: str
    user_id: str
    actor_id: str | None
    member: Member


class MemberRemoved(Event, frozen=True, tag="member_removed"):
    chat_id: str
    user_id: str
    actor_id: str | None
    member: Member
    member_count: int


class ChatCreated(Event, frozen=True, tag="chat_created"):
    chat_id: str
    chat: KnownChat


class ChatChanged(Event, frozen=True, tag="chat_changed"):
    chat_id: str
    chat: KnownChat


class ChatDeleted(Event, frozen=True, tag="chat_deleted"):
    chat_id: str
    actor_id: str | None


class ChatMuted(Event, frozen=True, tag="chat_muted"):
    chat_id: str
    muted_until: datetime | None


class UserChanged(Event, frozen=True, tag="user_changed"):
    user: Account


class SearchProgress(Event, frozen=True, tag="search_progress"):
    task_id: str
    status: str
    progress: int


class SearchFinished(Event, frozen=True, tag="search_finished"):
    task_id: str
    status: str
    progress: int


class SessionEnded(Event, frozen=True, tag="session_revoked"):
    """`session_id`: which one, as the list of sessions calls it."""

    session_id: str


class Typing(Event, frozen=True, tag="typing"):
    chat_id: str
    user_id: str


class Presence(Event, frozen=True, tag="presence"):
    chat_id: str
    user_id: str
    status: str


class Limited(Event, frozen=True, tag="limited"):
    """More was missed in this chat than is told: these messages are to be read as history."""

    chat_id: str
    from_seq: int
    to_seq: int


class Resync(Event, frozen=True, tag="resync"):
    """More was missed than is told: what is known of all chats is to be read anew."""

    reason: str


class UnknownEvent(Event, frozen=True):
    """Of a server that knows more than this client."""

    fields: dict[str, Any]


KINDS: dict[str, type[Event]] = {
    str(kind.__struct_config__.tag): kind for kind in Event.__subclasses__() if kind is not UnknownEvent
}


def read_event(fields: dict[str, Any]) -> Event:
    kind = KINDS.get(fields["type"])
    if kind is None:
        return UnknownEvent(fields=fields, cursor=fields.get("cursor"), log=fields.get("log", 0))
    return msgspec.convert(fields, kind)
