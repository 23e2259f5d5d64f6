"""Messages as JSON, and the bodies and frames of requests about them."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import replace

from messenger.identity import JsonId

TEXT_LENGTH = 4096

ClientKey = Annotated[str, Meta(min_length=1, max_length=64)]
Operation = Annotated[int, Meta(ge=-(2**15), le=2**15 - 1)]
Emoji = Annotated[str, Meta(min_length=1, max_length=32)]


class Reaction(Struct, frozen=True):
    emoji: str
    user_ids: list[str]


class Message(Struct, frozen=True):
    """The same for every member; `client_id` is for its sender only."""

    message_id: str
    id: str
    chat_id: str
    seq: int
    sender_id: str
    sender_name: str
    text: str
    sent_at: str
    edited_at: str | None
    deleted: bool
    reply_to: str | None
    reactions: list[Reaction]
    is_read: bool
    client_id: str | None | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class CurrentMessage:
    """A message as it is now, as all its readers see it, and the key that only its sender may see."""

    message: Message
    chat_id: int
    sender_id: int
    key: str

    @property
    def full_key(self) -> tuple[int, int, str]:
        return self.chat_id, self.sender_id, self.key

    @property
    def for_sender(self) -> Message:
        return replace(self.message, client_id=client_id(self.key))


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """A message of mine in a run that somebody has read."""

    message_id: int
    seq: int
    key: str


# The first letter of a message's key says how it was sent: with a key of its client (c), without a key over REST (i) or
# by a socket (s), by an older socket under a UUID (u), or by another application with `messenger.send` (d).
KEY_LETTERS = GIVEN, PLAIN, SPOKEN, NAMED, DRAFTED = ("c", "i", "s", "u", "d")
# By the way of an `Outgoing`; those of other applications are sent past it.
ENTRANCES = {PLAIN: "rest", SPOKEN: "ws", NAMED: "ws"}


class Outgoing(Struct, frozen=True):
    """A message to be sent, and the key that makes sending it again safe."""

    text: str
    client_id: str | None = None
    operation_id: int | None = None
    reply_to: int | None = None
    way: str = PLAIN


def key_prefix(outgoing: Outgoing) -> str:
    return outgoing.way if outgoing.client_id is None or outgoing.way == NAMED else GIVEN


def client_id(key: str) -> str | None:
    """The key that a client gave; other keys are our own."""
    return key[2:] if key.startswith(f"{GIVEN}:") else None


class NewMessage(Struct, frozen=True):
    """The body of a send over REST; older clients say `message`, others `text`."""

    message: str | None = None
    text: str | None = None
    client_id: ClientKey | None = None
    operation_id: Operation | None = None
    reply_to: JsonId | None = None


class SendFrame(Struct, frozen=True):
    chat_id: JsonId
    text: str
    client_id: ClientKey | None = None
    operation_id: Operation | None = None
    reply_to: JsonId | None = None


class UsualSend(SendFrame, frozen=True, tag="new_message", tag_field="type", forbid_unknown_fields=True):
    """A whole frame, as most sends are. What is not quite like this is read the general way."""

    ref: Annotated[str, Meta(max_length=64)] | None = None


class ReadFrame(Struct, frozen=True):
    chat_id: JsonId
    id: JsonId


class EditFrame(Struct, frozen=True):
    chat_id: JsonId
    message_id: JsonId
    text: str


class MessageFrame(Struct, frozen=True):
    chat_id: JsonId
    message_id: JsonId


class ReactFrame(Struct, frozen=True):
    chat_id: JsonId
    message_id: JsonId
    emoji: Emoji


class Edit(Struct, frozen=True):
    message: str | None = None
    text: str | None = None


class ReadMark(Struct, frozen=True):
    message_id: JsonId | None = None
    id: JsonId | None = None


class ReadCursor(Struct, frozen=True):
    user_id: str
    message_id: str | None
    read_seq: int


class Next(Struct, frozen=True):
    iterator: str


class MessagePage(Struct, frozen=True):
    messages: list[Message]
    next: Next
    read_cursors: list[ReadCursor]
    has_more: bool
    has_before: bool


class WrittenPage(MessagePage, frozen=True):
    """The same, when its messages are JSON already."""

    messages: Raw  # type: ignore[assignment]
