"""A client for bots and other programs: docs/clients.md. It speaks the protocol, and shares the refusals."""

from messenger.client.client import Client
from messenger.client.events import (
    ChatChanged,
    ChatCreated,
    ChatDeleted,
    ChatMuted,
    Event,
    Limited,
    MemberAdded,
    MemberChanged,
    MemberRemoved,
    MessageDeleted,
    MessageEdited,
    MessageRead,
    MessageReadByAll,
    NewMessage,
    Presence,
    ReactionChanged,
    Resync,
    SearchFinished,
    SearchProgress,
    SessionEnded,
    Typing,
    UnknownEvent,
    UserChanged,
)
from messenger.client.problems import Unreachable
from messenger.client.values import (
    Account,
    Chat,
    KnownChat,
    LastMessage,
    Member,
    Message,
    Reaction,
    Read,
    Registered,
    SignedIn,
    State,
)

__all__ = [
    "Account", "Chat", "ChatChanged", "ChatCreated", "ChatDeleted", "ChatMuted", "Client", "Event", "KnownChat",
    "LastMessage", "Limited", "Member", "MemberAdded", "MemberChanged", "MemberRemoved", "Message", "MessageDeleted",
    "MessageEdited", "MessageRead", "MessageReadByAll", "NewMessage", "Presence", "Reaction", "ReactionChanged", "Read",
    "Registered", "Resync", "SearchFinished", "SearchProgress", "SessionEnded", "SignedIn", "State", "Typing",
    "UnknownEvent", "Unreachable", "UserChanged",
]  # fmt: skip
