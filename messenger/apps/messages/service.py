"""What can be done with messages, with the right to do it: send, mark as read, edit, delete, react."""

import asyncio
from functools import partial
from typing import Any

from messenger.apps.chats import door
from messenger.apps.chats import service as chats
from messenger.apps.messages import store
from messenger.apps.messages.history import HISTORY, History
from messenger.apps.messages.schemas import NAMED, PLAIN, SPOKEN, TEXT_LENGTH, Message, Outgoing
from messenger.apps.messages.sending import SENDER, Answer, Draft, Mark, Origin, Sender, Sent
from messenger.db.database import Database, Transaction
from messenger.db.news import News
from messenger.errors import (
    BadParameters,
    ChatNotFound,
    Flaw,
    Forbidden,
    MessageNotFound,
    MessengerError,
    SessionRevoked,
)
from messenger.identity import Identity, UserId
from messenger.text import has_content

# For other sub-apps.
__all__ = ["HISTORY", "NAMED", "PLAIN", "SENDER", "SPOKEN", "History", "Outgoing", "Sender"]

MOST_REACTIONS = 50  # different ones on a message


def check_text(text: str, pointer: str = "/text") -> str:
    if len(text) > TEXT_LENGTH:
        detail = f"is longer than {TEXT_LENGTH} characters"
    elif not has_content(text):
        detail = "has nothing to show"
    else:
        return text
    raise BadParameters(f"{pointer}: {detail}.", flaws=[Flaw(pointer, detail)])


def check_keys(client_id: str | None, operation_id: int | None) -> None:
    if client_id is not None and operation_id is not None:
        raise BadParameters(
            "A send has either a client_id or an operation_id.", flaws=[Flaw("/operation_id", "is one key too many")]
        )


def submit(
    sender: Sender,
    user_id: int,
    session_id: int | None,
    chat_id: int,
    outgoing: Outgoing,
    *,
    answer: Answer,
    origin: Origin | None = None,
) -> None:
    """Into the next batch; every message goes this way. `origin`: the socket that is answered and needs no event."""
    draft = Draft(
        chat_id=chat_id, sender_id=user_id, session_id=session_id, content=outgoing, answer=answer, origin=origin
    )
    sender.submit(draft)


async def send(sender: Sender, user_id: int, session_id: int | None, chat_id: int, outgoing: Outgoing) -> Sent:
    """Returns when the message is stored for good."""
    answered: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
    submit(sender, user_id, session_id, chat_id, outgoing, answer=partial(resolve, answered))
    return await answered


async def send_to_person(db: Database, sender: Sender, me: Identity, person: UserId, outgoing: Outgoing) -> Sent:
    """In the direct chat of the two, which is created on first use."""
    chat_id = await chats.direct_chat(db, me, person)
    return await send(sender, me.user_id, me.session_id, chat_id, outgoing)


async def send_to_group(db: Database, sender: Sender, me: Identity, group_id: int, outgoing: Outgoing) -> Sent:
    chat_id = await chats.chat_of_group(db, me, group_id)
    return await send(sender, me.user_id, me.session_id, chat_id, outgoing)


def resolve(future: "asyncio.Future[Any]", verdict: Any) -> None:
    if future.done():  # the request has gone away
        return
    if isinstance(verdict, MessengerError):
        future.set_exception(verdict)
    else:
        future.set_result(verdict)


async def mark_read(sender: Sender, user_id: int, session_id: int | None, chat_id: int, message_id: int) -> int:
    """Moves my marker up to this message, never back. Returns the message's number."""
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    submit_mark(sender, user_id, session_id, chat_id, message_id, partial(resolve, answered))
    return await answered


def submit_mark(
    sender: Sender, user_id: int, session_id: int | None, chat_id: int, message_id: int, answer: Answer
) -> None:
    sender.mark(Mark(chat_id=chat_id, reader_id=user_id, session_id=session_id, message_id=message_id, answer=answer))


async def chat_of(db: Database, message_id: int) -> int:
    async with db.reading() as tx:
        found = await store.find_state(tx, message_id)
    if found is None:
        raise MessageNotFound
    return found.chat_id


async def mark_message_read(db: Database, sender: Sender, me: Identity, message_id: int) -> tuple[int, int]:
    """Finds the chat of the message first. Returns that chat, and the number of the message."""
    chat_id = await chat_of(db, message_id)
    try:
        return chat_id, await mark_read(sender, me.user_id, me.session_id, chat_id, message_id)
    except ChatNotFound:  # a stranger must not learn that the message exists
        raise MessageNotFound from None


async def edit(db: Database, history: History, me: Identity, chat_id: int, message_id: int, words: str) -> Message:
    async with db.transaction() as tx:
        found = await _enter(tx, me, chat_id, message_id)
        if found.sender_id != me.user_id:
            raise Forbidden("Only its author may edit a message.")
        await store.edit(tx, chat_id, found.seq, words)
        tx.emit(News("message_edited", chat_id, actor_id=me.user_id, subject_id=message_id))
    edited = (await history.current([message_id])).get(message_id)
    if edited is None:
        raise MessageNotFound
    return edited.for_sender


async def delete(db: Database, me: Identity, chat_id: int, message_id: int) -> None:
    async with db.transaction() as tx:
        found = await _enter(tx, me, chat_id, message_id)
        if found.sender_id != me.user_id:
            await door.require(tx, me, chat_id, "delete_message")
        await store.mark_deleted(tx, chat_id, found.seq)
        await store.clear_reactions(tx, chat_id, message_id)
        tx.emit(News("message_deleted", chat_id, actor_id=me.user_id, subject_id=message_id))


async def react(db: Database, me: Identity, chat_id: int, message_id: int, emoji: str) -> None:
    if not has_content(emoji):
        raise BadParameters("The reaction has nothing to show.", flaws=[Flaw("/emoji", "has nothing to show")])
    async with db.transaction() as tx:
        await _enter(tx, me, chat_id, message_id)
        if await store.react(tx, chat_id, message_id, me.user_id, emoji):
            if await store.count_reactions(tx, chat_id, message_id) > MOST_REACTIONS:
                raise BadParameters(f"A message carries at most {MOST_REACTIONS} different reactions.")
            tx.emit(reaction(me, chat_id, message_id, emoji, "added"))


async def unreact(db: Database, me: Identity, chat_id: int, message_id: int, emoji: str) -> None:
    async with db.transaction() as tx:
        await _enter(tx, me, chat_id, message_id)
        if await store.unreact(tx, chat_id, message_id, me.user_id, emoji):
            tx.emit(reaction(me, chat_id, message_id, emoji, "removed"))


def reaction(me: Identity, chat_id: int, message_id: int, emoji: str, action: str) -> News:
    data = {"emoji": emoji, "action": action}
    return News("reaction", chat_id, actor_id=me.user_id, subject_id=message_id, data=data)


async def _enter(tx: Transaction, me: Identity, chat_id: int, message_id: int) -> store.MessageState:
    """Under the chat's lock: my session is open, I am a member, and the message exists and is not deleted."""
    locked = await store.lock_chat(tx, chat_id)
    if not await store.session_lives(tx, me.session_id):
        raise SessionRevoked
    await door.require(tx, me, chat_id, "read")
    found = await store.find_state(tx, message_id)
    if not locked or found is None or found.chat_id != chat_id or found.deleted:
        raise MessageNotFound
    return found
