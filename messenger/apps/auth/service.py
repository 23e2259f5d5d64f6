"""Accounts: registering, signing in, changing and deleting them, finding people. Sessions are in `sessions`.

Every try of a password goes one way: a slot, the count, the verification, the count again under a lock. The second
look decides, so however many guesses run side by side, no more of them are answered than the bound allows.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import UNSET

from messenger.apps.auth import sessions, store
from messenger.apps.auth.desk import DESK, Desk
from messenger.apps.auth.limits import Guess, guess
from messenger.apps.auth.passwords import find_flaw
from messenger.apps.auth.schemas import (
    Account,
    Device,
    Event,
    Profile,
    ProfileChange,
    Registration,
    SignedIn,
    SignIn,
    Which,
    about_flaws,
    email_flaws,
    name_flaws,
    refuse,
)
from messenger.db.engine import Transaction
from messenger.db.news import News
from messenger.errors import (
    BadPassword,
    Flaw,
    Forbidden,
    SessionRevoked,
    TooManyRequests,
    UserAlreadyExists,
    UserNotFound,
)
from messenger.identity import Caller, Identity, UserId
from messenger.text import name_key

__all__ = ["DESK", "Registration", "SignIn"]  # not ours, but whoever calls us from another sub-app needs them

log = logging.getLogger(__name__)

TOMBSTONE = "Deleted account"


@dataclass(frozen=True, slots=True)
class Registered:
    user_id: UserId
    name: str
    email: str | None


@dataclass(frozen=True, slots=True)
class Page:
    people: list[Profile]
    next_key: str | None


async def register(desk: Desk, wanted: Registration, caller: Caller) -> Registered:
    name, email = wanted.name, wanted.email or None
    refuse([*name_flaws(name), *email_flaws(email), *_password_flaws(desk, wanted.password, "/password")])
    name, email = name.strip(), email.strip() if email is not None else None
    key, email_key = name_key(name), name_key(email) if email is not None else None
    async with desk.passwords.turn() as turn:
        async with desk.db.reading() as tx:
            await _refuse_taken(tx, key, email_key)  # spares the hashing; the insert decides
        password_hash = await turn.hash(wanted.password)
    async with desk.db.transaction() as tx:
        user_id = await store.add_user(tx, name, key, email, email_key, password_hash)
        if user_id is None:
            await _refuse_taken(tx, key, email_key)
            raise UserAlreadyExists
        await store.record(tx, Event.REGISTERED, caller, user_id=user_id)
    log.info("registered user=%s", user_id)
    return Registered(user_id, name, email)


async def login(
    desk: Desk, name: str, password: str, device: Device, caller: Caller, *, browser: str | None = None
) -> SignedIn:
    """`browser`: the session its cookie names until now."""
    tried = guess(name, caller.address)
    async with desk.passwords.turn() as turn:
        async with desk.db.reading() as tx:
            await _refuse_limited(tx, desk, tried)
            account = await store.find_account(tx, name_key(name))
        is_right = await turn.verify(account.password_hash if account is not None else None, password)
        newer = await turn.rehash(account.password_hash, password) if is_right and account is not None else None
    signed_in = None
    async with desk.db.transaction() as tx:
        if await _settle(tx, desk, tried, account, caller, is_right=is_right) and account is not None:
            if newer is not None:
                await store.replace_hash(tx, account, newer)
            session_id, token, pair = await sessions.open_session(
                tx, desk, account.user_id, device, caller, browser=browser
            )
            await store.record(tx, Event.LOGIN, caller, user_id=account.user_id, sessions=[session_id])
            signed_in = SignedIn(account.user_id, account.name, token, pair)
    if signed_in is None:
        raise BadPassword
    log.info("login user=%s", signed_in.user_id)
    return signed_in


async def change_password(desk: Desk, me: Identity, current: str, new: str, caller: Caller) -> None:
    refuse(_password_flaws(desk, new, "/new_password"))
    async with desk.passwords.turn() as turn:
        async with desk.db.reading() as tx:
            account = await store.get_account(tx, me.user_id)
            tried = guess(account.name, caller.address)
            await _refuse_limited(tx, desk, tried)
        is_right = await turn.verify(account.password_hash, current)
        password_hash = await turn.hash(new) if is_right else None
    async with desk.db.transaction() as tx:
        is_proven = await _settle(tx, desk, tried, account, caller, is_right=is_right)
        if is_proven and password_hash is not None:
            await store.set_password(tx, me.user_id, password_hash)
            await store.record(tx, Event.PASSWORD_CHANGED, caller, user_id=me.user_id, sessions=[me.session_id])
            await sessions.end(tx, me.user_id, Which(but=me.session_id), caller, why="password changed")
    if not is_proven:
        raise Forbidden("The current password is wrong.")
    log.info("password changed user=%s", me.user_id)


async def _settle(
    tx: Transaction, desk: Desk, tried: Guess, account: Account | None, caller: Caller, *, is_right: bool
) -> bool:
    """Count what was found, or refuse to say it. True: the account is locked, and still has the verified password."""
    await store.lock_tries(tx, tried)
    await _refuse_limited(tx, desk, tried)
    if is_right and account is not None and await store.lock_account(tx, account):
        await store.forgive(tx, tried)
        return True
    user_id = account.user_id if account is not None else None
    await store.add_failure(tx, tried)
    await store.record(tx, Event.LOGIN_FAILED, caller, user_id=user_id)
    if await store.find_wait(tx, tried, desk.bounds) is not None:
        await store.record(tx, Event.LOGIN_LIMITED, caller, user_id=user_id)
    return False


async def _refuse_limited(tx: Transaction, desk: Desk, tried: Guess) -> None:
    wait = await store.find_wait(tx, tried, desk.bounds)
    if wait is not None:
        raise TooManyRequests("Too many wrong passwords; try again later.", retry_after=wait.seconds, quota=wait.quota)


async def profile(desk: Desk, user_id: UserId) -> Profile:
    return _found(await store.find_profile(desk.db, user_id))


async def profile_now(tx: Transaction, user_id: UserId) -> Profile:
    """For whoever needs it in a snapshot of their own."""
    return _found(await store.find_profile_within(tx, user_id))


def _found(profile: Profile | None) -> Profile:
    if profile is None:
        raise UserNotFound
    return profile


async def change_profile(desk: Desk, me: Identity, wanted: ProfileChange) -> Profile:
    flaws = about_flaws(wanted.display_name, wanted.about)
    changes: dict[str, str | None] = {}
    if wanted.user_name is not UNSET:
        flaws += name_flaws(wanted.user_name)
        changes |= {"name": wanted.user_name.strip(), "name_key": name_key(wanted.user_name)}
    if wanted.email is not UNSET:
        email = wanted.email or None
        flaws += email_flaws(email)
        changes |= {
            "email": email.strip() if email is not None else None,
            "email_key": name_key(email) if email is not None else None,
        }
    if wanted.display_name is not UNSET:
        changes["display_name"] = wanted.display_name
    if wanted.about is not UNSET:
        changes["about"] = wanted.about
    refuse(flaws)
    if not changes:
        return await profile(desk, me.user_id)
    async with desk.db.transaction() as tx:
        was = await store.lock_profile(tx, me.user_id)
        if was is None:
            raise SessionRevoked
        await _refuse_taken(tx, changes.get("name_key"), changes.get("email_key"), but=me.user_id)
        changed = await store.change_profile(tx, me.user_id, changes)
        if changed.name != was.name:
            for renaming in desk.renamings:
                await renaming(tx, me.user_id)
        if changed != was:
            tx.emit(News("user_changed", user_id=me.user_id))
    return changed


async def profiles_now(desk: Desk, ids: Sequence[int]) -> dict[int, Profile]:
    async with desk.db.reading() as tx:
        return await store.find_profiles(tx, ids)


async def delete_account(desk: Desk, me: Identity, caller: Caller) -> None:
    """The name becomes free at once; what the person wrote stays, by a deleted account."""
    async with desk.db.transaction() as tx:
        await store.bury_user(tx, me.user_id, TOMBSTONE)
        for farewell in desk.farewells:
            await farewell(tx, me, caller)
        await store.record(tx, Event.ACCOUNT_DELETED, caller, user_id=me.user_id)
        await sessions.end(tx, me.user_id, Which(), caller, why="account deleted")
    log.info("account deleted user=%s", me.user_id)


async def record_membership(
    tx: Transaction,
    what: Literal["member_added", "member_removed", "role_changed"],
    chat_id: int,
    people: Mapping[UserId, str],
    me: Identity | None,
    caller: Caller,
) -> None:
    """Who did it, to whom of these people, and their role in the chat or what has changed about it."""
    await store.record_membership(tx, Event(what), chat_id, people, me, caller)


async def find_people(desk: Desk, piece: str, *, start: str, limit: int) -> Page:
    async with desk.db.reading() as tx:
        found = await store.find_people(tx, name_key(piece), start, limit + 1)
    people = [profile for _, profile in found[:limit]]
    return Page(people, found[limit][0] if len(found) > limit else None)


async def _refuse_taken(tx: Transaction, key: str | None, email_key: str | None, *, but: UserId | None = None) -> None:
    name_taken, email_taken = await store.find_taken(tx, key, email_key, but=but)
    flaws = [Flaw("/user_name", "is taken")] if name_taken else []
    flaws += [Flaw("/email", "is taken")] if email_taken else []
    if flaws:
        raise UserAlreadyExists(flaws=flaws)


def _password_flaws(desk: Desk, password: str, pointer: str) -> list[Flaw]:
    flaw = find_flaw(password, desk.rules.password_min_length)
    return [Flaw(pointer, flaw)] if flaw is not None else []
