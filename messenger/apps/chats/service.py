"""Chats: making, finding, changing and deleting them, and the door that others ask before they let somebody in.

Nobody (`me` is None) comes this far only on a test rig without sign-in, where every chat is open to every reader.
What happens to those in a chat is in `members`.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from msgspec import UNSET

from messenger.apps.auth import service as accounts
from messenger.apps.chats import gate, store
from messenger.apps.chats.gate import Action, Kind, Seat
from messenger.apps.chats.schemas import (
    ChatChange,
    Group,
    Join,
    Membership,
    Page,
    Place,
    Shown,
    Sight,
    checked_moment,
    checked_name,
)
from messenger.db.engine import Database, Transaction
from messenger.db.news import News
from messenger.errors import ChatNotFound, Forbidden, GroupNotFound, UserNotFound
from messenger.identity import Caller, Identity, UserId
from messenger.log.entries import Cursor
from messenger.text import rfc3339

log = logging.getLogger(__name__)

MOST_PARTICIPANTS = 1000  # shown with a group; the members' pages show them all


# --- the door


async def open_to(tx: Transaction, me: Identity | None, chat_id: int) -> Membership:
    """May be read by me; to strangers it does not exist."""
    found = await store.find_membership(tx, chat_id, me.user_id if me is not None else None)
    if found is None:
        raise ChatNotFound
    _refuse_stranger(me, found.seat)
    return found


def _refuse_stranger(me: Identity | None, seat: Seat | None) -> None:
    if seat is not None:
        if not gate.may(seat, "read"):
            raise Forbidden
    elif me is not None and not me.reads_all:
        raise ChatNotFound


async def may(tx: Transaction, me: Identity, chat_id: int, action: Action) -> Membership:
    """I am in it, and have the right."""
    found = await store.find_membership(tx, chat_id, me.user_id)
    if found is None or found.seat is None:
        raise ChatNotFound
    if not gate.may(found.seat, action):
        raise Forbidden
    return found


async def enter(tx: Transaction, me: Identity, chat_id: int, action: Action) -> Membership:
    """The same under the chat's lock: until the commit nothing else happens in it."""
    if not await store.lock_chat(tx, chat_id):
        raise ChatNotFound
    return await may(tx, me, chat_id, action)


# --- making


async def create(
    db: Database, me: Identity | None, name: str, join: Join, others: Sequence[UserId], caller: Caller
) -> int:
    return await _create(db, me, "chat", checked_name(name, "/chat_name"), join, others, caller=caller)


async def create_group(db: Database, me: Identity, name: str, others: Sequence[UserId], caller: Caller) -> Group:
    """A group is for those who were asked: nobody joins by themselves."""
    chat_id = await _create(db, me, "group", checked_name(name, "/name"), "invite", others, caller=caller)
    return await group(db, me, chat_id)


async def _create(
    db: Database, me: Identity | None, kind: Kind, name: str, join: Join, others: Sequence[UserId], *, caller: Caller
) -> int:
    creator = me.user_id if me is not None else None
    others = [one for one in others if one != creator]
    async with db.transaction() as tx:
        await hold(tx, others if creator is None else [creator, *others])
        chat_id = await store.add_chat(tx, kind, name, join, creator)
        if creator is not None:
            await store.add_members(tx, chat_id, [creator], "owner")
        if others:
            await store.add_members(tx, chat_id, others, "member")
        owner: dict[UserId, str] = {} if creator is None else {creator: "owner"}
        people = owner | dict.fromkeys(others, "member")
        await record(tx, "member_added", chat_id, people, me, caller)
        await announce(tx, chat_id, creator, others)
    log.info("chat created chat=%s kind=%s", chat_id, kind)
    return chat_id


async def hold(tx: Transaction, people: Sequence[UserId]) -> dict[UserId, str]:
    """All of them are there, and stay until the commit; answers their names."""
    found = await store.hold_people(tx, people) if people else {}
    if len(found) < len(people):
        missing = next(one for one in people if one not in found)
        raise UserNotFound(f"There is no user {missing}.")
    return found


async def announce(tx: Transaction, chat_id: int, creator: UserId | None, others: Sequence[UserId]) -> None:
    """Who is in it comes first: a listener is admitted to the chat before anything of it is told."""
    people = others if creator is None else [creator, *others]
    added = [News("member_added", chat_id, user_id=one, actor_id=creator) for one in people]
    await tell(tx, *added, News("chat_created", chat_id, actor_id=creator))
    await recount(tx, [chat_id])


async def tell(tx: Transaction, *news: News) -> None:
    """News of chats with the numbers that hold at its position, after all that this transaction does to them.

    Counted when it is shown instead, they would differ from process to process, and from a replay.
    """
    numbers = await store.count_now(tx, {one.chat_id for one in news if one.chat_id is not None})
    tx.emit(*(replace(one, data=numbers[one.chat_id]) for one in news if one.chat_id is not None))


async def record(
    tx: Transaction,
    what: Literal["member_added", "member_removed", "role_changed"],
    chat_id: int,
    people: Mapping[UserId, str],
    me: Identity | None,
    caller: Caller,
) -> None:
    """For the audit: who did it, to whom, and their role or the change of it."""
    await accounts.record_membership(tx, what, chat_id, people, me, caller)


async def recount(tx: Transaction, chats: Sequence[int]) -> None:
    """After a change of who is in them: what those who are there now have all read is told once."""
    for run in await store.refloor(tx, chats):
        data = {"from_seq": run.from_seq, "to_seq": run.to_seq, "message_id": run.message_id}
        tx.emit(News("message_read_by_all", run.chat_id, data=data))


# --- direct chats


@dataclass(frozen=True, slots=True)
class Opened:
    chat_id: int
    is_new: bool


async def open_direct(db: Database, me: Identity, person: UserId) -> Opened:
    """One chat per pair, however many ask for it at the same time; with myself: my notes."""
    low, high = min(me.user_id, person), max(me.user_id, person)
    async with db.reading() as tx:
        found = await store.find_direct(tx, low, high, person)
    if found is not None:
        return Opened(found, is_new=False)
    async with db.transaction() as tx:
        await hold(tx, list(dict.fromkeys((me.user_id, person))))
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


# --- looking


async def see(db: Database, me: Identity | None, chat_id: int) -> Sight:
    async with db.reading() as tx:
        found = await store.find_sight(tx, chat_id, me.user_id if me is not None else None)
    if found is None:
        raise ChatNotFound
    _refuse_stranger(me, found.seat)
    return found


async def mine(db: Database, me: Identity, *, start: Place | None, limit: int) -> Page:
    """Latest first. A chat that moves up meanwhile is missed by later pages; its event tells of it."""
    async with db.reading() as tx:
        found = await store.find_sights(tx, me.user_id, start=start, limit=limit + 1)
    sights = found[:limit]
    return Page(sights, Place(sights[-1].place, sights[-1].chat.chat_id) if len(found) > limit else None)


@dataclass(frozen=True, slots=True)
class State:
    """Everything of mine at one position of the log."""

    user: Mapping[str, Any]  # as the accounts show it to its owner
    sights: Sequence[Sight]
    cursor: Cursor


async def sync(db: Database, me: Identity) -> State:
    async with db.snapshot() as tx:
        head = await store.find_head(tx)
        profile = await accounts.profile_now(tx, me.user_id)
        return State(profile.as_own(), await store.find_sights(tx, me.user_id), Cursor(head.epoch, head.position))


async def group(db: Database, me: Identity | None, group_id: int) -> Group:
    async with db.snapshot() as tx:
        await _group_open_to(tx, me, group_id)
        facts = await store.find_facts(tx, group_id)
        assert facts is not None, "one snapshot"
        return Group(facts, await store.find_oldest_members(tx, group_id, MOST_PARTICIPANTS))


async def chat_of_group(db: Database, me: Identity, group_id: int) -> int:
    async with db.reading() as tx:
        return (await _group_open_to(tx, me, group_id)).chat_id


async def _group_open_to(tx: Transaction, me: Identity | None, group_id: int) -> Membership:
    try:
        found = await open_to(tx, me, group_id)
    except ChatNotFound:
        raise GroupNotFound from None
    if found.kind != "group":
        raise GroupNotFound
    return found


async def shown(db: Database, pairs: Sequence[tuple[int, int | None]]) -> list[Shown]:
    """What events about these chats and these people in them can say now."""
    async with db.reading() as tx:
        return await store.find_shown(tx, pairs)


async def guest(db: Database, chat_id: int, named: int | None) -> UserId:
    """Who speaks on a test rig without sign-in: whoever the request names, when in the chat."""
    async with db.reading() as tx:
        found = await store.find_membership(tx, chat_id, UserId(named) if named is not None else None)
    if found is None:
        raise ChatNotFound
    if named is None or found.role is None:
        raise UserNotFound
    return UserId(named)


# --- changing


async def change(db: Database, me: Identity, chat_id: int, wanted: ChatChange) -> Sight:
    until = checked_moment(wanted.muted_until, "/muted_until") if wanted.muted_until is not UNSET else UNSET
    changes = {}
    if wanted.chat_name is not UNSET:
        changes["name"] = checked_name(wanted.chat_name, "/chat_name")
    if wanted.join is not UNSET:
        changes["join_rule"] = wanted.join
    async with db.transaction() as tx:
        if changes:
            was = await enter(tx, me, chat_id, "change_chat")
            if changes.items() - {"name": was.chat_name, "join_rule": was.join_rule}.items():
                await store.change_chat(tx, chat_id, changes)
                await tell(tx, News("chat_changed", chat_id, actor_id=me.user_id))
        if until is not UNSET:
            await enter(tx, me, chat_id, "mute")
            if await store.mute(tx, chat_id, me.user_id, until):
                at = {"until": rfc3339(until) if until is not None else None}
                # Not on the chat's topic: it is nobody else's business.
                tx.emit(News("chat_muted", user_id=me.user_id, subject_id=chat_id, data=at))
    return await see(db, me, chat_id)


async def delete(db: Database, me: Identity, chat_id: int) -> None:
    """Gone for everyone at that position of the log, which is where its row gets its mark."""
    async with db.transaction() as tx:
        await enter(tx, me, chat_id, "delete_chat")
        tx.emit(News("chat_deleted", chat_id, actor_id=me.user_id))
    log.info("chat deleted chat=%s user=%s", chat_id, me.user_id)
