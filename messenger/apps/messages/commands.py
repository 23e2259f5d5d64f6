"""The commands of a socket about messages.

Sends and read marks are answered from their batch, so a socket may have many under way.
"""

from typing import Any

from messenger.apps.messages import service
from messenger.apps.messages.history import HISTORY
from messenger.apps.messages.schemas import (
    SPOKEN,
    EditFrame,
    MessageFrame,
    Outgoing,
    ReactFrame,
    ReadFrame,
    SendFrame,
    UsualSend,
)
from messenger.apps.messages.sending import SENDER, Sent
from messenger.errors import MessengerError
from messenger.web.access import charged
from messenger.web.app_keys import DATABASE
from messenger.web.call import Call, usually


@charged("send")
@usually(UsualSend)
def send(call: Call) -> None:
    frame = call.read(SendFrame)
    service.check_text(frame.text)
    service.check_keys(frame.client_id, frame.operation_id)

    def answer(verdict: Sent | int | MessengerError) -> None:
        if isinstance(verdict, MessengerError):
            call.refuse(verdict)
        elif isinstance(verdict, Sent):
            call.answer(verdict.json, verdict.replayed, verdict.message_id)

    reply_to = int(frame.reply_to) if frame.reply_to is not None else None
    outgoing = Outgoing(frame.text, frame.client_id, frame.operation_id, reply_to, SPOKEN)
    sender, me = call.app[SENDER], call.me
    service.submit(sender, me.user_id, me.session_id, int(frame.chat_id), outgoing, answer=answer, origin=call.listener)


def read(call: Call) -> None:
    frame = call.read(ReadFrame)
    chat_id = int(frame.chat_id)

    def answer(verdict: Sent | int | MessengerError) -> None:
        if isinstance(verdict, MessengerError):
            call.refuse(verdict)
        else:
            call.answer({"chat_id": str(chat_id), "message_id": str(frame.id), "read_seq": verdict})

    service.submit_mark(call.app[SENDER], call.me.user_id, call.me.session_id, chat_id, int(frame.id), answer)


async def edit(call: Call) -> Any:
    frame = call.read(EditFrame)
    service.check_text(frame.text)
    db, history = call.app[DATABASE], call.app[HISTORY]
    return await service.edit(db, history, call.me, int(frame.chat_id), int(frame.message_id), frame.text)


async def delete(call: Call) -> Any:
    frame = call.read(MessageFrame)
    await service.delete(call.app[DATABASE], call.me, int(frame.chat_id), int(frame.message_id))
    return {"chat_id": str(frame.chat_id), "message_id": str(frame.message_id)}


async def react(call: Call) -> Any:
    frame = call.read(ReactFrame)
    await service.react(call.app[DATABASE], call.me, int(frame.chat_id), int(frame.message_id), frame.emoji)
    return {"chat_id": str(frame.chat_id), "message_id": str(frame.message_id), "emoji": frame.emoji}


async def unreact(call: Call) -> Any:
    frame = call.read(ReactFrame)
    await service.unreact(call.app[DATABASE], call.me, int(frame.chat_id), int(frame.message_id), frame.emoji)
    return {"chat_id": str(frame.chat_id), "message_id": str(frame.message_id), "emoji": frame.emoji}


commands = {
    "new_message": send,
    "read_message": read,
    "edit_message": edit,
    "delete_message": delete,
    "react": react,
    "unreact": unreact,
}
