"""Accounts: registering, signing in, changing and deleting them, finding people. Sessions are in `sessions`.

Every attempt at a password takes the same steps: a slot, the count, the verification, the count again under a lock. The
second count decides, so parallel attempts are not answered more often than the bound allows.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from messenger.apps.auth import sessions
from messenger.apps.auth.audit import record
from messenger.apps.auth.context import AUTH, AuthContext
from messenger.apps.auth.limits import LoginAttempt, login_attempt
from messenger.apps.auth.passwords import find_flaw
from messenger.apps.auth.schemas import ProfileChange, Registration, SignIn, email_flaws, name_flaws, refuse
from messenger.apps.auth.store import accounts as store
from messenger.apps.auth.store import failures, tokens
from messenger.apps.auth.tokens import digest, new_opaque_token
from messenger.apps.auth.values import Account, AuditEvent, Device, Profile, SessionFilter, SignedIn
from messenger.db.database import Transaction
from messenger.db.news import News
from messenger.errors import (
    BadParameters,
    BadPassword,
    Flaw,
    Forbidden,
    SessionRevoked,
    TokenInvalid,
    TooManyRequests,
    UserAlreadyExists,
    UserNotFound,
)
from messenger.identity import Caller, Identity, UserId
from messenger.text import name_key

__all__ = ["AUTH", "AuthContext", "Registration", "SignIn"]  # for other sub-apps

log = logging.getLogger(__name__)

TOMBSTONE = "Deleted account"


@dataclass(frozen=True, slots=True)
class Registered:
    user_id: UserId
    name: str
    email: str | None


@dataclass(frozen=True, slots=True)
class PeoplePage:
    people: list[Profile]
    next_key: str | None


async def register(auth: AuthContext, wanted: Registration, caller: Caller) -> Registered:
    name, email = wanted.name, wanted.email or None
    refuse([*name_flaws(name), *email_flaws(email), *_password_flaws(auth, wanted.password, "/password")])
    name, email = name.strip(), email.strip() if email is not None else None
    key, email_key = name_key(name), name_key(email) if email is not None else None
    async with auth.passwords.slot() as slot:
        async with auth.db.reading() as tx:
            await _refuse_taken(tx, key, email_key)  # saves the hashing; the insert decides
        password_hash = await slot.hash(wanted.password)
    async with auth.db.transaction() as tx:
        user_id = await store.add_user(tx, name, key, email, email_key, password_hash)
        if user_id is None:
            await _refuse_taken(tx, key, email_key)
            raise UserAlreadyExists
        record(tx, AuditEvent.REGISTERED, caller, user_id=user_id)
    log.info("registered user=%s", user_id)
    return Registered(user_id, name, email)


async def login(
    auth: AuthContext, name: str, password: str, device: Device, caller: Caller, *, browser: str | None = None
) -> SignedIn:
    """`browser`: the session that its cookie names so far."""
    attempt = login_attempt(name, caller.address)
    async with auth.passwords.slot() as slot:
        async with auth.db.reading() as tx:
            await _refuse_limited(tx, auth, attempt)
            account = await store.find_account(tx, name_key(name))
        is_right = await slot.verify(account.password_hash if account is not None else None, password)
        newer = await slot.rehash(account.password_hash, password) if is_right and account is not None else None
    signed_in = None
    async with auth.db.transaction() as tx:
        if await _settle(tx, auth, attempt, account, caller, is_right=is_right) and account is not None:
            if newer is not None:
                await store.replace_hash(tx, account, newer)
            signed_in = await _open(tx, auth, account.user_id, account.name, device, caller, browser=browser)
    if signed_in is None:
        raise BadPassword
    log.info("login user=%s", signed_in.user_id)
    return signed_in


async def make_link(auth: AuthContext, user_id: UserId, ttl: float, caller: Caller) -> str:
    """A token that signs this person in once, within so many seconds."""
    token = new_opaque_token()
    async with auth.db.transaction() as tx:
        if not await tokens.add_link(tx, user_id, digest(token), ttl):
            raise UserNotFound("Nobody can sign in to this account.")
        record(tx, AuditEvent.LINK_MADE, caller, user_id=user_id)
    return token


async def login_by_link(
    auth: AuthContext, token: str, device: Device, caller: Caller, *, browser: str | None = None
) -> SignedIn:
    attempt = login_attempt(token, caller.address)  # nobody is called so: what counts is the address
    signed_in = None
    async with auth.db.transaction() as tx:
        await failures.lock_tries(tx, attempt)
        await _refuse_limited(tx, auth, attempt)
        found = await tokens.take_link(tx, digest(token))
        if found is not None:
            signed_in = await _open(tx, auth, *found, device, caller, browser=browser, how="by link")
        else:
            await _count_failure(tx, auth, attempt, None, caller)
    if signed_in is None:
        raise TokenInvalid
    log.info("login by link user=%s", signed_in.user_id)
    return signed_in


async def _open(
    tx: Transaction,
    auth: AuthContext,
    user_id: UserId,
    name: str,
    device: Device,
    caller: Caller,
    *,
    browser: str | None,
    how: str = "",
) -> SignedIn:
    session_id, token, pair = await sessions.open_session(tx, auth, user_id, device, caller, browser=browser)
    record(tx, AuditEvent.LOGIN, caller, user_id=user_id, session_id=session_id, detail=how)
    return SignedIn(user_id, name, token, pair)


async def change_password(auth: AuthContext, me: Identity, current: str, new: str, caller: Caller) -> None:
    refuse(_password_flaws(auth, new, "/new_password"))
    async with auth.passwords.slot() as slot:
        async with auth.db.reading() as tx:
            account = await store.get_account(tx, me.user_id)
            attempt = login_attempt(account.name, caller.address)
            await _refuse_limited(tx, auth, attempt)
        is_right = await slot.verify(account.password_hash, current)
        password_hash = await slot.hash(new) if is_right else None
    async with auth.db.transaction() as tx:
        is_proven = await _settle(tx, auth, attempt, account, caller, is_right=is_right)
        if is_proven and password_hash is not None:
            await store.set_password(tx, me.user_id, password_hash)
            record(tx, AuditEvent.PASSWORD_CHANGED, caller, user_id=me.user_id, session_id=me.session_id)
            await sessions.end(tx, me.user_id, SessionFilter(but=me.session_id), caller, why="password changed")
    if not is_proven:
        raise Forbidden("The current password is wrong.")
    log.info("password changed user=%s", me.user_id)


async def _settle(
    tx: Transaction,
    auth: AuthContext,
    attempt: LoginAttempt,
    account: Account | None,
    caller: Caller,
    *,
    is_right: bool,
) -> bool:
    """Counts the attempt, or refuses it. True: the account is locked, and still has the verified password."""
    await failures.lock_tries(tx, attempt)
    await _refuse_limited(tx, auth, attempt)
    if is_right and account is not None and await store.lock_proven(tx, account, attempt):
        return True
    await _count_failure(tx, auth, attempt, account.user_id if account is not None else None, caller)
    return False


async def _count_failure(
    tx: Transaction, auth: AuthContext, attempt: LoginAttempt, user_id: UserId | None, caller: Caller
) -> None:
    await failures.add_failure(tx, attempt)
    record(tx, AuditEvent.LOGIN_FAILED, caller, user_id=user_id)
    if await failures.find_wait(tx, attempt, auth.bounds) is not None:
        record(tx, AuditEvent.LOGIN_LIMITED, caller, user_id=user_id)


async def _refuse_limited(tx: Transaction, auth: AuthContext, attempt: LoginAttempt) -> None:
    wait = await failures.find_wait(tx, attempt, auth.bounds)
    if wait is not None:
        raise TooManyRequests("Too many wrong passwords; try again later.", retry_after=wait.seconds, quota=wait.quota)


async def has_accounts(auth: AuthContext) -> bool:
    return await store.has_accounts(auth.db)


async def profile(auth: AuthContext, user_id: UserId) -> Profile:
    return _found(await store.find_profile(auth.db, user_id))


async def profile_now(tx: Transaction, user_id: UserId) -> Profile:
    """As the snapshot of the caller sees it."""
    return _found(await store.find_profile_within(tx, user_id))


def _found(profile: Profile | None) -> Profile:
    if profile is None:
        raise UserNotFound
    return profile


async def change_profile(auth: AuthContext, me: Identity, wanted: ProfileChange) -> Profile:
    changes = wanted.columns
    if not changes:
        raise BadParameters("The body names nothing that can be changed.")
    async with auth.db.transaction() as tx:
        was = await store.lock_profile(tx, me.user_id)
        if was is None:
            raise SessionRevoked
        await _refuse_taken(tx, changes.get("name_key"), changes.get("email_key"), but=me.user_id)
        changed = await store.change_profile(tx, me.user_id, changes)
        if changed.name != was.name:
            for renaming in auth.renamings:
                await renaming(tx, me.user_id)
        if changed != was:
            tx.emit(News("user_changed", user_id=me.user_id))
    return changed


async def profiles_now(auth: AuthContext, ids: Sequence[int]) -> dict[int, Profile]:
    async with auth.db.reading() as tx:
        return await store.find_profiles(tx, ids)


async def delete_account(auth: AuthContext, me: Identity, caller: Caller) -> None:
    """The name is free at once. The person's messages stay, as those of a deleted account."""
    async with auth.db.transaction() as tx:
        await store.bury_user(tx, me.user_id, TOMBSTONE)
        for farewell in auth.farewells:
            await farewell(tx, me, caller)
        record(tx, AuditEvent.ACCOUNT_DELETED, caller, user_id=me.user_id)
        await sessions.end(tx, me.user_id, SessionFilter(), caller, why="account deleted")
    log.info("account deleted user=%s", me.user_id)


def record_membership(
    tx: Transaction,
    what: Literal["member_added", "member_removed", "role_changed"],
    chat_id: int,
    people: Mapping[UserId, str],
    me: Identity | None,
    caller: Caller,
) -> None:
    """Audit rows: one for each of these people, with their role in the chat, or its change."""
    user_id, session_id = (me.user_id, me.session_id) if me is not None else (None, None)
    for person, detail in people.items():
        record(
            tx,
            AuditEvent(what),
            caller,
            user_id=user_id,
            session_id=session_id,
            chat_id=chat_id,
            subject_id=person,
            detail=detail,
        )


async def find_people(auth: AuthContext, piece: str, *, start: str, limit: int) -> PeoplePage:
    async with auth.db.reading() as tx:
        found = await store.find_people(tx, name_key(piece), start, limit + 1)
    people = [profile for _, profile in found[:limit]]
    return PeoplePage(people, found[limit][0] if len(found) > limit else None)


async def _refuse_taken(tx: Transaction, key: str | None, email_key: str | None, *, but: UserId | None = None) -> None:
    name_taken, email_taken = await store.find_taken(tx, key, email_key, but=but)
    flaws = [Flaw("/user_name", "is taken")] if name_taken else []
    flaws += [Flaw("/email", "is taken")] if email_taken else []
    if flaws:
        raise UserAlreadyExists(flaws=flaws)


def _password_flaws(auth: AuthContext, password: str, pointer: str) -> list[Flaw]:
    flaw = find_flaw(password, auth.rules.password_min_length)
    return [Flaw(pointer, flaw)] if flaw is not None else []
