"""What older clients ask, put to the services of the other sub-apps: other words, the same actions and rights."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from messenger.apps.auth import service as accounts
from messenger.apps.chats import service as chats
from messenger.apps.classic.schemas import UUID_LENGTH, ClassicNewMessage, ClassicRegistration, ClassicSignIn
from messenger.apps.messages import service as messages
from messenger.errors import ChatNotFound, Forbidden, GroupNotFound, IdempotencyConflict, MessageNotFound
from messenger.identity import Caller, Identity, UserId

if TYPE_CHECKING:
    from messenger.apps.chats.schemas import Group
    from messenger.apps.messages.schemas import Message, ReadCursor
    from messenger.db.database import Database

NAMED = f"{messages.NAMED}:"  # before the UUID that a sender's socket gave


async def register(auth: accounts.AuthContext, wanted: ClassicRegistration, caller: Caller) -> accounts.Registered:
    """Without a name of their own people are called by their e-mail address."""
    account = accounts.Registration(wanted.password, user_name=wanted.username or wanted.email, email=wanted.email)
    return await accounts.register(auth, account, caller)


async def sign_in(auth: accounts.AuthContext, wanted: ClassicSignIn, caller: Caller) -> str:
    """The access token."""
    known = accounts.SignIn(wanted.password, email=wanted.email, client_id=wanted.client_id)
    signed_in = await accounts.login(auth, known.name, known.password, known.device, caller)
    return signed_in.pair.access_token


async def create_group(db: "Database", me: Identity, name: str, people: Sequence[int | str], caller: Caller) -> "Group":
    others = [UserId(one) for one in dict.fromkeys(int(one) for one in people)]
    return await chats.create_group(db, me, name, others, caller)


# --- messages over REST


async def send_to_person(
    db: "Database", sender: messages.Sender, me: Identity, person: int, wanted: ClassicNewMessage
) -> "Message":
    sent = await messages.send_to_person(db, sender, me, UserId(person), _outgoing(wanted))
    return sent.message


async def send_to_group(
    db: "Database", sender: messages.Sender, me: Identity, group_id: int, wanted: ClassicNewMessage
) -> "Message":
    outgoing = _outgoing(wanted)
    try:
        return (await messages.send_to_group(db, sender, me, group_id, outgoing)).message
    except (GroupNotFound, ChatNotFound):
        raise not_in_it() from None


def _outgoing(wanted: ClassicNewMessage) -> messages.Outgoing:
    return messages.Outgoing(messages.check_text(wanted.text), operation_id=wanted.operation_id)


async def list_messages(
    history: messages.History,
    me: Identity | None,
    chat_id: int,
    *,
    later_than: int | None,
    offset: int,
    limit: int,
    arrived_at: float,
) -> "list[Message]":
    try:
        return await history.offset_page(me, chat_id, later_than, offset, limit, arrived_at)
    except ChatNotFound:
        raise not_in_it() from None


def not_in_it() -> Forbidden:
    """What older clients expect. The same if there is no such chat, so that strangers do not learn which exist."""
    return Forbidden("You are not in this chat.")


async def page(
    history: messages.History, me: Identity | None, chat_id: int, *, offset: int, limit: int, arrived_at: float
) -> "tuple[list[Message], Sequence[ReadCursor]]":
    """Messages and read cursors. For strangers the chat does not exist."""
    found = await history.offset_page(me, chat_id, None, offset, limit, arrived_at)
    return found, await history.read_cursors(me, chat_id, arrived_at)


# --- the same by sockets


async def say(sender: messages.Sender, me: Identity, chat_id: int, text: str) -> None:
    outgoing = messages.Outgoing(messages.check_text(text), way=messages.SPOKEN)
    await messages.send(sender, me.user_id, me.session_id, chat_id, outgoing)


async def say_named(sender: messages.Sender, me: Identity, chat_id: int, name: str, text: str) -> None:
    """Under the sender's own UUID, once."""
    outgoing = messages.Outgoing(messages.check_text(text), client_id=name, way=messages.NAMED)
    sent = await messages.send(sender, me.user_id, me.session_id, chat_id, outgoing)
    if sent.replayed:
        raise IdempotencyConflict("This message_id was used before: the message is stored already.")


async def read(sender: messages.Sender, me: Identity, chat_id: int, message_id: int) -> None:
    await messages.mark_read(sender, me.user_id, me.session_id, chat_id, message_id)


async def read_named(
    sender: messages.Sender, history: messages.History, me: Identity, chat_id: int, name: int | str
) -> None:
    """By the message's id, or by the UUID that its sender gave it."""
    if isinstance(name, str) and len(name) == UUID_LENGTH:
        found = await history.find_by_key(chat_id, NAMED + name)
        if found is None:
            raise MessageNotFound
        name = found
    await read(sender, me, chat_id, int(name))


def name_of(message_id: int, key: str) -> int | str:
    """What the clients of one chat call a message."""
    return key.removeprefix(NAMED) if key.startswith(NAMED) else message_id


def was_sent_by_rest(key: str) -> bool:
    """As far as the key tells: a message with a client's own key may have come by any way."""
    return key.startswith(f"{messages.PLAIN}:")
