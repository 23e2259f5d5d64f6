"""Members of a chat: joining, adding, roles, leaving, removing; and deleted or renamed accounts.

Every change is one transaction under the chat's lock, so no change acts on a state that another one has replaced.
"""

import logging
import secrets
from collections.abc import Sequence

from messenger.apps.auth.service import record_membership
from messenger.apps.chats import gate, store
from messenger.apps.chats.changes import emit_with_counts, recount, require_people
from messenger.apps.chats.door import lock_and_require, require, require_readable
from messenger.apps.chats.gate import Role
from messenger.apps.chats.schemas import Member, MemberPage, Membership, checked_name
from messenger.db.database import Database, Transaction
from messenger.db.news import News
from messenger.errors import AlreadyMember, ChatNotFound, Forbidden, LastOwner, UserNotFound
from messenger.identity import Caller, Identity, UserId

log = logging.getLogger(__name__)


async def page(db: Database, me: Identity | None, chat_id: int, *, after: int, limit: int) -> MemberPage:
    """In the order of their ids."""
    async with db.snapshot() as tx:
        await require_readable(tx, me, chat_id)
        found = await store.find_members_after(tx, chat_id, after, limit + 1)
    members = found[:limit]
    return MemberPage(members, members[-1].user_id if len(found) > limit else None)


async def join(db: Database, me: Identity | None, chat_id: int, name: str, caller: Caller) -> UserId:
    """I join an open chat under this name. If I am a member already, it becomes my name here."""
    name = checked_name(name, "/user_name")
    async with db.transaction() as tx:
        if me is None:  # a test rig without sign-in: every request is a new person
            user_id = await store.add_guest(tx, f"guest-{secrets.token_hex(8)}")
            taken: str | None = name
        else:
            user_id = me.user_id
            own = (await require_people(tx, [user_id]))[user_id]
            taken = name if name != own else None  # my own name changes with my account's
        if not await store.lock_chat(tx, chat_id):
            raise ChatNotFound
        found = await store.find_membership(tx, chat_id, user_id)
        assert found is not None, "the chat is locked"
        if found.effective_role is None:
            await _come_in(tx, found, user_id, taken)
            record_membership(tx, "member_added", chat_id, {user_id: "member"}, me, caller)
        elif not gate.may(found.effective_role, "take_name"):
            raise Forbidden
        elif found.name != taken:
            await store.change_member(tx, chat_id, user_id, name=taken)
            tx.emit(_changed(chat_id, user_id, actor=user_id))
    return user_id


async def _come_in(tx: Transaction, chat: Membership, user_id: UserId, name: str | None) -> None:
    if chat.join_rule != "open":
        raise ChatNotFound
    await store.add_members(tx, chat.chat_id, [user_id], "member", read_seq=chat.head_seq, name=name)
    await emit_with_counts(tx, News("member_added", chat.chat_id, user_id=user_id, actor_id=user_id))
    await recount(tx, [chat.chat_id])


async def add(db: Database, me: Identity, chat_id: int, people: Sequence[UserId], caller: Caller) -> Sequence[Member]:
    """All of them or nobody. Their read markers start at the chat's head; they see the earlier messages too."""
    async with db.transaction() as tx:
        there = await store.hold_people(tx, people)
        chat = await lock_and_require(tx, me, chat_id, "add_members")
        missing = [one for one in people if one not in there]
        if missing:
            raise UserNotFound(f"There is no user {missing[0]}.")
        if await store.add_members(tx, chat_id, people, "member", read_seq=chat.head_seq) < len(people):
            raise AlreadyMember
        record_membership(tx, "member_added", chat_id, dict.fromkeys(people, "member"), me, caller)
        await emit_with_counts(tx, *(News("member_added", chat_id, user_id=one, actor_id=me.user_id) for one in people))
        await recount(tx, [chat_id])
        return await store.find_members(tx, chat_id, people)


async def change_role(db: Database, me: Identity, chat_id: int, person: UserId, role: Role, caller: Caller) -> Member:
    async with db.transaction() as tx:
        await lock_and_require(tx, me, chat_id, "change_roles")
        was = await _role_of(tx, chat_id, person)
        if was != role:
            if was == "owner" and (await store.count_members(tx, chat_id)).owners == 1:
                raise LastOwner
            await store.change_member(tx, chat_id, person, role=role)
            record_membership(tx, "role_changed", chat_id, {person: f"{was} to {role}"}, me, caller)
            tx.emit(_changed(chat_id, person, actor=me.user_id))
        return (await store.find_members(tx, chat_id, [person]))[0]


async def remove(db: Database, me: Identity, chat_id: int, person: UserId, caller: Caller) -> None:
    async with db.transaction() as tx:
        if person == me.user_id:
            role = await _leave(tx, me, chat_id)
        else:
            await lock_and_require(tx, me, chat_id, "remove_member")
            role = await _role_of(tx, chat_id, person)
            await require(tx, me, chat_id, gate.REMOVALS[role])
            await _go(tx, chat_id, person, me.user_id)
        record_membership(tx, "member_removed", chat_id, {person: role}, me, caller)
    log.info("member removed chat=%s user=%s by=%s", chat_id, person, me.user_id)


async def _leave(tx: Transaction, me: Identity, chat_id: int) -> Role:
    """The chat is deleted with its last member, as nobody could own it again. Returns the role that I had."""
    found = await lock_and_require(tx, me, chat_id, "leave")
    assert found.role is not None, "nobody else may leave"
    present = await store.count_members(tx, chat_id)
    if found.role == "owner" and present.owners == 1 and present.members > 1:
        raise LastOwner("Somebody else must own the chat before its only owner leaves it.")
    await _go(tx, chat_id, me.user_id, me.user_id)
    if present.members == 1:
        tx.emit(News("chat_deleted", chat_id, actor_id=me.user_id))
    return found.role


async def _go(tx: Transaction, chat_id: int, person: UserId, actor: UserId) -> None:
    await store.remove_member(tx, chat_id, person)
    await store.keep_trace(tx, chat_id, person)
    await emit_with_counts(tx, News("member_removed", chat_id, user_id=person, actor_id=actor))
    await recount(tx, [chat_id])


async def _role_of(tx: Transaction, chat_id: int, person: UserId) -> Role:
    found = await store.find_membership(tx, chat_id, person)
    if found is None or found.role is None:
        raise UserNotFound("This person is not in the chat.")
    return found.role


def _changed(chat_id: int, person: int, *, actor: int) -> News:
    return News("member_changed", chat_id, actor_id=actor, subject_id=person)


async def rename(tx: Transaction, user_id: UserId) -> None:
    """A person's name was changed in this transaction: every chat that shows it is told.

    Under the locks of the chats: sends read the name of their author under them, so no later send has the old name.
    """
    chats = await store.lock_chats_of(tx, user_id)
    tx.emit(*(_changed(chat_id, user_id, actor=user_id) for chat_id in chats))


async def forget(tx: Transaction, me: Identity, caller: Caller) -> None:
    """An account is being deleted in this transaction, and its row is a tombstone already. Its chats stay.

    The audit has the end of the account, and a row for every new owner; it has no row for every chat that was left.
    """
    user_id = me.user_id
    known = await store.lock_chats_of(tx, user_id)
    chats = await store.find_chats_of(tx, user_id)  # read after the locks were taken
    named = await store.name_heirs(tx, user_id, chats)
    heirs = {one.chat_id: one.user_id for one in named}
    for one in named:
        record_membership(tx, "role_changed", one.chat_id, {UserId(one.user_id): f"{one.was} to owner"}, me, caller)
    await store.remove_everywhere(tx, user_id)
    await store.drop_traces(tx, user_id)
    empty = set(await store.find_empty(tx, chats))
    news = []
    for chat_id in chats:
        news.append(News("member_removed", chat_id, user_id=user_id, actor_id=user_id))
        if chat_id in heirs:
            news.append(_changed(chat_id, heirs[chat_id], actor=user_id))
        if chat_id in empty:
            news.append(News("chat_deleted", chat_id, actor_id=user_id))
    await emit_with_counts(tx, *news)
    tx.emit(*(_changed(chat_id, user_id, actor=user_id) for chat_id in known if chat_id not in chats))
    await recount(tx, chats)
