"""What older clients send, over REST and in frames. Ids are numbers; as text they are taken too."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from messenger.errors import BadParameters, Flaw
from messenger.identity import JsonId

Uuid = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")]
# A message by its id, or by the UUID that its sender's socket gave it.
AnyName = (
    Annotated[int, Meta(ge=1, le=2**53 - 1)]
    | Annotated[str, Meta(pattern=r"^([1-9][0-9]{0,15}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$")]
)
UUID_LENGTH = 36


class ClassicRegistration(Struct, frozen=True):
    email: str
    password: str
    username: str | None = None


class ClassicSignIn(Struct, frozen=True):
    email: str
    password: str
    client_id: str | None = None


class ClassicNewGroup(Struct, frozen=True):
    name: str
    participant_user_ids: Annotated[list[JsonId], Meta(max_length=100)]


class ClassicNewMessage(Struct, frozen=True):
    text: str
    operation_id: Annotated[int, Meta(ge=-(2**15), le=2**15 - 1)] | None = None


class AllChatsSend(Struct, frozen=True):
    """In any chat."""

    chat_id: JsonId
    text: str


class AllChatsRead(Struct, frozen=True):
    chat_id: JsonId
    id: JsonId


class OneChatSend(Struct, frozen=True):
    """In the chat of the socket; the client's own UUID names the message."""

    message_id: Uuid
    text: str


class OneChatRead(Struct, frozen=True):
    message_id: AnyName


def verb_of(frame: dict[str, Any], field: str) -> str:
    verb = frame.get(field)
    return verb if isinstance(verb, str) else ""


def unknown(field: str, verb: str) -> BadParameters:
    detail = f"there is no {field} {verb[:40]!r}" if verb else "is required"
    return BadParameters(f"/{field}: {detail}.", flaws=[Flaw(f"/{field}", detail)])
