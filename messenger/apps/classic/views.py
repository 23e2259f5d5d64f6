"""Messages for older clients: six fields with numbers in REST, and two forms of frames."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from messenger.apps.classic.service import name_of
from messenger.errors import MessengerError
from messenger.log.entries import Entry
from messenger.web.sockets.frames import framed

if TYPE_CHECKING:
    from messenger.apps.chats.schemas import Group
    from messenger.apps.messages.schemas import Message, ReadCursor, ReadMessage

Json = dict[str, Any]
ENCODER = msgspec.json.Encoder()


class EventMessage(msgspec.Struct, frozen=True):
    """The fields of a message in an event of the log."""

    id: str
    chat_id: str
    sender_id: str
    text: str
    sent_at: str
    is_read: bool


class MessageEvent(msgspec.Struct, frozen=True):
    message: EventMessage


DECODER = msgspec.json.Decoder(MessageEvent)


@dataclass(frozen=True, slots=True)
class NamedMessage:
    """A message from the log, and the name that its sender's socket gave it."""

    message: EventMessage
    name: int | str

    @classmethod
    def by(cls, entry: Entry) -> "NamedMessage":
        message = DECODER.decode(entry.event).message
        return cls(message, name_of(int(message.id), entry.key))


# --- REST


def message(found: "Message | EventMessage") -> Json:
    return {
        "id": int(found.id),
        "chat_id": int(found.chat_id),
        "sender_id": int(found.sender_id),
        "text": found.text,
        "timestamp": found.sent_at,
        "is_read": found.is_read,
    }


def short_message(found: "Message | EventMessage") -> Json:
    return {"id": int(found.id), "user_id": int(found.sender_id), "text": found.text, "dt_created": found.sent_at}


def read_cursor(mark: "ReadCursor") -> Json:
    return {"user_id": int(mark.user_id), "message_id": int(mark.message_id) if mark.message_id is not None else None}


def group(found: "Group") -> Json:
    """A group has the same number as its chat."""
    return {
        "group_id": found.chat.chat_id,
        "chat_id": found.chat.chat_id,
        "name": found.chat.name,
        "creator_id": found.chat.creator_id,
        "participant_user_ids": [one.user_id for one in found.participants],
    }


# --- the socket of all chats


def all_chats_message(said: NamedMessage) -> bytes:
    words = short_message(said.message)
    return encode_frame({"event_type": "new_message", **words, "chat_id": int(said.message.chat_id)})


def read_by_one(one: "ReadMessage", chat_id: int, reader: int) -> bytes:
    return encode_frame({"event_type": "read_message", "id": one.message_id, "user_id": reader, "chat_id": chat_id})


# --- the socket of one chat


def one_chat_message(said: NamedMessage) -> bytes:
    six = message(said.message)
    top = {"type": "Message", "action": "new_message", "message": six, "message_id": said.name}
    return encode_frame(top | {name: six[name] for name in ("chat_id", "sender_id", "text", "timestamp", "is_read")})


def read_by_all(one: "ReadMessage", chat_id: int) -> bytes:
    name = name_of(one.message_id, one.key)
    return encode_frame(
        {"type": "Read", "action": "message_read", "message_id": name, "chat_id": chat_id, "read_by_all": True}
    )


def error(reason: MessengerError) -> bytes:
    return encode_frame({"status": "error", "message": reason.detail})


def encode_frame(fields: Json) -> bytes:
    return framed(ENCODER.encode(fields))
