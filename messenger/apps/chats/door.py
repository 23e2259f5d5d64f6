"""The door of a chat: checks what a person may do in it, before anything is shown or changed.

`me` is None only on a test rig without sign-in, where every chat is open to every reader.
"""

from messenger.apps.chats import gate, store
from messenger.apps.chats.gate import Action, EffectiveRole
from messenger.apps.chats.schemas import Membership
from messenger.db.database import Transaction
from messenger.errors import ChatNotFound, Forbidden
from messenger.identity import Identity


async def require_readable(tx: Transaction, me: Identity | None, chat_id: int) -> Membership:
    """I may read it. For strangers it does not exist."""
    found = await store.find_membership(tx, chat_id, me.user_id if me is not None else None)
    if found is None:
        raise ChatNotFound
    refuse_stranger(me, found.effective_role)
    return found


def refuse_stranger(me: Identity | None, role: EffectiveRole | None) -> None:
    if role is not None:
        if not gate.may(role, "read"):
            raise Forbidden
    elif me is not None and not me.reads_all:
        raise ChatNotFound


async def require(tx: Transaction, me: Identity, chat_id: int, action: Action) -> Membership:
    """I am a member and have this right."""
    found = await store.find_membership(tx, chat_id, me.user_id)
    if found is None or found.effective_role is None:
        raise ChatNotFound
    if not gate.may(found.effective_role, action):
        raise Forbidden
    return found


async def lock_and_require(tx: Transaction, me: Identity, chat_id: int, action: Action) -> Membership:
    """The same under the chat's lock: until the commit nothing else happens in it."""
    if not await store.lock_chat(tx, chat_id):
        raise ChatNotFound
    return await require(tx, me, chat_id, action)
