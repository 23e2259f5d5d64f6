"""Typing and presence, sent to the other listeners of a chat."""

from typing import Literal

import msgspec

from messenger.errors import ChatNotFound
from messenger.identity import JsonId
from messenger.web.app_keys import LOG
from messenger.web.call import Call


class TypingFrame(msgspec.Struct, frozen=True):
    chat_id: JsonId


class PresenceFrame(msgspec.Struct, frozen=True):
    status: Literal["online", "away", "offline"]


async def typing(call: Call) -> dict[str, str]:
    chat_id = int(call.read(TypingFrame).chat_id)
    log = call.app[LOG]
    # The hub knows the listeners of each chat up to the position this process has followed. After the barrier a member
    # who was just removed reaches nobody, and a new one is heard.
    await log.barrier()
    if not log.hub.is_listening(call.listener, chat_id):
        raise ChatNotFound
    note = {"type": "typing", "chat_id": str(chat_id), "user_id": str(call.me.user_id)}
    log.note(chat_id, call.me.user_id, msgspec.json.encode(note))
    return {"chat_id": str(chat_id)}


async def presence(call: Call) -> dict[str, str]:
    status = call.read(PresenceFrame).status
    log = call.app[LOG]
    await log.barrier()
    for chat_id in log.hub.chats_of_user(call.me.user_id):
        note = {"type": "presence", "chat_id": str(chat_id), "user_id": str(call.me.user_id), "status": status}
        log.note(chat_id, call.me.user_id, msgspec.json.encode(note))
    return {"status": status}


commands = {"typing": typing, "presence": presence}
