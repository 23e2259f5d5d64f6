"""Chats: creating, finding, changing and deleting them. Their members are in `members`.

`me` is None only on a test rig without sign-in, where every chat is open to every reader.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from messenger.apps.auth import service as accounts
from messenger.apps.chats import store
from messenger.apps.chats.changes import announce, emit_with_counts, require_people
from messenger.apps.chats.door import lock_and_require, refuse_stranger, require_readable
from messenger.apps.chats.gate import ChatKind
from messenger.apps.chats.schemas import (
    MOST_AT_ONCE,
    ChatAndPerson,
    ChatChange,
    ChatPage,
    ChatView,
    Group,
    Join,
    ListPosition,
    Membership,
    checked_moment,
    checked_name,
)
from messenger.db.database import Database, Transaction
from messenger.db.news import News
from messenger.errors import BadParameters, ChatNotFound, GroupNotFound, UserNotFound
from messenger.identity import Caller, Identity, UserId
from messenger.log.entries import Cursor
from messenger.text import rfc3339

log = logging.getLogger(__name__)

MOST_PARTICIPANTS = MOST_AT_ONCE + 1  # shown with a group: all of a new one; the pages of members have the rest


# --- creating


async def create(
    db: Database, me: Identity | None, name: str, join: Join, others: Sequence[UserId], caller: Caller
) -> int:
    return await _create(db, me, "chat", name, join, others, caller=caller)


async def create_group(db: Database, me: Identity, name: str, others: Sequence[UserId], caller: Caller) -> Group:
    """A group has only invited members: nobody can join by themselves."""
    chat_id = await _create(db, me, "group", checked_name(name, "/name"), "invite", others, caller=caller)
    return await group(db, me, chat_id)


async def _create(
    db: Database,
    me: Identity | None,
    kind: ChatKind,
    name: str,
    join: Join,
    others: Sequence[UserId],
    *,
    caller: Caller,
) -> int:
    creator = me.user_id if me is not None else None
    others = [one for one in others if one != creator]
    async with db.transaction() as tx:
        await require_people(tx, others if creator is None else [creator, *others])
        chat_id = await store.add_chat(tx, kind, name, join, creator)
        if creator is not None:
            await store.add_members(tx, chat_id, [creator], "owner")
        if others:
            await store.add_members(tx, chat_id, others, "member")
        owner: dict[UserId, str] = {} if creator is None else {creator: "owner"}
        people = owner | dict.fromkeys(others, "member")
        accounts.record_membership(tx, "member_added", chat_id, people, me, caller)
        await announce(tx, chat_id, creator, others)
    log.info("chat created chat=%s kind=%s", chat_id, kind)
    return chat_id


# --- direct chats


@dataclass(frozen=True, slots=True)
class Opened:
    chat_id: int
    is_new: bool


async def open_direct(db: Database, me: Identity, person: UserId) -> Opened:
    """One chat per pair, however many requests ask for it at once. With myself: my notes."""
    low, high = min(me.user_id, person), max(me.user_id, person)
    async with db.reading() as tx:
        found = await store.find_direct(tx, low, high, person)
    if found is not None:
        return Opened(found, is_new=False)
    async with db.transaction() as tx:
        await require_people(tx, list(dict.fromkeys((me.user_id, person))))
        chat_id = await store.claim_direct(tx, low, high)
        if chat_id is not None:
            await store.add_direct(tx, chat_id, me.user_id)
            await store.add_members(tx, chat_id, list({low, high}), "member")
            await announce(tx, chat_id, me.user_id, [person] if person != me.user_id else [])
        else:
            found = await store.find_direct(tx, low, high, person)
    if chat_id is not None:
        return Opened(chat_id, is_new=True)
    assert found is not None, "a pair's chat is there for good once it was claimed"
    return Opened(found, is_new=False)


async def direct_chat(db: Database, me: Identity, person: UserId) -> int:
    return (await open_direct(db, me, person)).chat_id


# --- reading


async def see(db: Database, me: Identity | None, chat_id: int) -> ChatView:
    async with db.reading() as tx:
        found = await store.find_view(tx, chat_id, me.user_id if me is not None else None)
    if found is None:
        raise ChatNotFound
    refuse_stranger(me, found.effective_role)
    return found


async def mine(db: Database, me: Identity, *, start: ListPosition | None, limit: int) -> ChatPage:
    """Latest first. Later pages miss a chat that moves up meanwhile, but its event tells of it."""
    async with db.reading() as tx:
        found = await store.find_views(tx, me.user_id, start=start, limit=limit + 1)
    chats = found[:limit]
    last = ListPosition(chats[-1].position, chats[-1].chat.chat_id) if len(found) > limit else None
    return ChatPage(chats, last)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """My profile and all my chats at one position of the log."""

    user: Mapping[str, Any]  # as auth shows it to its owner
    chats: Sequence[ChatView]
    cursor: Cursor


async def sync(db: Database, me: Identity) -> Snapshot:
    async with db.snapshot() as tx:
        head = await store.find_head(tx)
        profile = await accounts.profile_now(tx, me.user_id)
        return Snapshot(profile.as_own(), await store.find_views(tx, me.user_id), head)


async def group(db: Database, me: Identity | None, group_id: int) -> Group:
    async with db.snapshot() as tx:
        await _require_group(tx, me, group_id)
        state = await store.find_state(tx, group_id)
        assert state is not None, "one snapshot"
        return Group(state, await store.find_oldest_members(tx, group_id, MOST_PARTICIPANTS))


async def chat_of_group(db: Database, me: Identity, group_id: int) -> int:
    async with db.reading() as tx:
        return (await _require_group(tx, me, group_id)).chat_id


async def _require_group(tx: Transaction, me: Identity | None, group_id: int) -> Membership:
    try:
        found = await require_readable(tx, me, group_id)
    except ChatNotFound:
        raise GroupNotFound from None
    if found.kind != "group":
        raise GroupNotFound
    return found


async def chats_and_people(db: Database, pairs: Sequence[tuple[int, int | None]]) -> list[ChatAndPerson]:
    """These chats, and these people in them, as events show them now."""
    async with db.reading() as tx:
        return await store.find_chats_and_people(tx, pairs)


async def guest(db: Database, chat_id: int, named: int | None) -> UserId:
    """The sender on a test rig without sign-in: the member that the request names."""
    async with db.reading() as tx:
        found = await store.find_membership(tx, chat_id, UserId(named) if named is not None else None)
    if found is None:
        raise ChatNotFound
    if named is None or found.role is None:
        raise UserNotFound
    return UserId(named)


# --- changing


async def change(db: Database, me: Identity, chat_id: int, wanted: ChatChange) -> ChatView:
    until = checked_moment(wanted.muted_until, "/muted_until") if wanted.muted_until is not UNSET else UNSET
    changes = wanted.columns
    if not changes and until is UNSET:
        raise BadParameters("The body names nothing that can be changed.")
    async with db.transaction() as tx:
        if changes:
            was = await lock_and_require(tx, me, chat_id, "change_chat")
            if changes.items() - {"name": was.chat_name, "join_rule": was.join_rule}.items():
                await store.change_chat(tx, chat_id, changes)
                await emit_with_counts(tx, News("chat_changed", chat_id, actor_id=me.user_id))
        if until is not UNSET:
            await lock_and_require(tx, me, chat_id, "mute")
            if await store.mute(tx, chat_id, me.user_id, until):
                at = {"until": rfc3339(until) if until is not None else None}
                # On my own topic, not on the chat's: others must not learn of it.
                tx.emit(News("chat_muted", user_id=me.user_id, subject_id=chat_id, data=at))
    return await see(db, me, chat_id)


async def delete(db: Database, me: Identity, chat_id: int) -> None:
    """Deleted for everyone at one position of the log; the log marks the row of the chat there."""
    async with db.transaction() as tx:
        await lock_and_require(tx, me, chat_id, "delete_chat")
        tx.emit(News("chat_deleted", chat_id, actor_id=me.user_id))
    log.info("chat deleted chat=%s user=%s", chat_id, me.user_id)
