"""Sessions: opening, finding, reviving and ending them.

A session is one device and one row. Its `session_id`, its cookie and its access tokens open nothing once it was idle
for `Config.Auth.token_lifetime` (session-expired); requests and open sockets are use (see `renewal`). The row itself
stays while its refresh token is good: refreshing gives a new pair and wakes the others up again. Nothing keeps a
session past LIFETIME. Ending it is final, at once, and takes everything along that names it.
"""

import logging
import time
from dataclasses import dataclass
from math import inf

from messenger.apps.auth.audit import record
from messenger.apps.auth.context import AuthContext
from messenger.apps.auth.memory import SessionMemory
from messenger.apps.auth.store import sessions as store
from messenger.apps.auth.store import tokens
from messenger.apps.auth.tokens import OPAQUE_TOKEN, digest, new_opaque_token, new_session_token
from messenger.apps.auth.values import AuditEvent, Device, Pair, SessionFilter, SessionInfo, SessionState
from messenger.db.database import Transaction
from messenger.db.news import News
from messenger.errors import NotFound, SessionExpired, SessionRevoked, TokenInvalid, TokenReused
from messenger.identity import Caller, Identity, SessionId, UserId

log = logging.getLogger(__name__)

LIFETIME = 90 * 24 * 3600  # seconds; no use puts this end off
TICKET_TTL = 30
GRACE = 10  # seconds in which a lost answer to a refresh may be asked for again
TOUCH_STEP = 60  # seconds; last_seen_at is written this often at most


@dataclass(frozen=True, slots=True)
class SessionToken:
    text: str


@dataclass(frozen=True, slots=True)
class AccessToken:
    text: str


@dataclass(frozen=True, slots=True)
class SocketTicket:
    text: str


Credential = SessionToken | AccessToken | SocketTicket


# The digest of a session's token; or its id, with the person that an access token names.
Name = bytes | tuple[SessionId, UserId | None]


@dataclass(frozen=True, slots=True)
class Identified:
    identity: Identity
    until: float  # by the monotonic clock: so long the same bytes name the same person, unless the log tells otherwise


async def identify(
    auth: AuthContext,
    credential: Credential,
    memory: SessionMemory | None,
    arrived_at: float,
    *,
    rechecked: bool = False,
) -> Identified:
    """The credential names a session, and its row decides whether it is valid. `memory` saves reading the row."""
    if isinstance(credential, SocketTicket):
        return Identified((await _check(auth, await _take_ticket(auth, credential)))[0], arrived_at)
    name, left = _name(auth, credential)
    if memory is None:
        return Identified((await _check(auth, name))[0], arrived_at)
    known = await memory.find(name, arrived_at, rechecked=rechecked)
    if known is None:
        cursor = memory.cursor
        identity, seconds = await _check(auth, name)
        known = memory.keep(name, identity, cursor, seconds)
    return Identified(known.identity, min(known.until, arrived_at + left))


def _name(auth: AuthContext, credential: SessionToken | AccessToken) -> tuple[Name, float]:
    """And for how many seconds the credential itself is good."""
    if isinstance(credential, SessionToken):
        return digest(credential.text), inf
    claim = auth.mint.read_access_token(credential.text, now=time.time())
    return (claim.session_id, claim.user_id), claim.left


async def _take_ticket(auth: AuthContext, ticket: SocketTicket) -> Name:
    async with auth.db.reading() as tx:
        found = await tokens.take_ticket(tx, digest(ticket.text))
    if found is None:
        raise TokenInvalid
    return found, None


async def _check(auth: AuthContext, name: Name) -> tuple[Identity, float]:
    """The identity, and for how many seconds it may be used without reading the row again."""
    state = await store.find_session(auth.db, name if isinstance(name, bytes) else name[0])
    if state is None or not (isinstance(name, bytes) or name[1] in {None, state.user_id}):
        raise TokenInvalid
    if state.has_ended:
        raise SessionRevoked
    if state.has_expired or state.quiet_for >= auth.rules.token_lifetime:
        raise SessionExpired
    step = touch_step(auth)
    if state.quiet_for > step:
        async with auth.db.reading() as tx:
            await store.touch_session(tx, state.session_id, step)
    identity = Identity(state.user_id, state.session_id, reads_all=auth.rules.disabled)
    believed = step if state.quiet_for > step else step - state.quiet_for
    return identity, min(believed, state.left)


def touch_step(auth: AuthContext) -> float:
    return min(TOUCH_STEP, auth.rules.token_lifetime / 10)


async def open_session(
    tx: Transaction, auth: AuthContext, user_id: UserId, device: Device, caller: Caller, *, browser: str | None = None
) -> tuple[SessionId, str, Pair]:
    """A new session with its own credentials. It replaces the session of this device, and ends the idlest ones."""
    held = digest(browser) if browser is not None else None
    kept = auth.rules.max_sessions_per_user - 1  # the account is locked, so no other login adds one
    ended = await store.end_for_login(tx, user_id, device, held, kept)
    for one, is_replaced in ended:
        _record_end(tx, user_id, one, caller, why="replaced by a new login" if is_replaced else "too many sessions")
    token, refresh_token = new_session_token(), new_opaque_token()
    session_id, left = await store.open_session(
        tx,
        user_id,
        device,
        token_hash=digest(token),
        lifetime=LIFETIME,
        refresh_token_hash=digest(refresh_token),
        refresh_token_ttl=auth.rules.refresh_token_ttl,
    )
    return session_id, token, _pair(auth, user_id, session_id, refresh_token, left)


async def refresh(auth: AuthContext, token: str, caller: Caller) -> Pair:
    """A new pair for an unused refresh token; the same pair again for a client that lost the answer."""
    if not OPAQUE_TOKEN.fullmatch(token):
        raise TokenInvalid
    async with auth.db.transaction() as tx:
        state = await tokens.lock_family(tx, digest(token))
        link = await tokens.find_refresh_token(tx, digest(token)) if state is not None else None
        if state is None or link is None:
            raise TokenInvalid
        if state.has_ended:
            raise SessionRevoked
        if link.used_for is None:
            if state.has_expired or link.left <= 0:
                raise SessionExpired("This refresh token has expired.")
            await tokens.spend_refresh_token(tx, digest(token))
            await store.revive_session(tx, state.session_id)
            successor = auth.mint.successors(token)[0]
            left = await tokens.add_refresh_token(tx, state.session_id, digest(successor), auth.rules.refresh_token_ttl)
            return _pair(auth, state.user_id, state.session_id, successor, left)
        again = await _same_answer(tx, auth, state, token) if link.used_for <= GRACE else None
        if again is not None:
            return again
        record(tx, AuditEvent.REFRESH_REUSED, caller, user_id=state.user_id, session_id=state.session_id)
        await end(tx, state.user_id, SessionFilter(only=state.session_id), caller, why="refresh token reused")
    log.warning("refresh token reused user=%s session=%s", state.user_id, state.session_id)
    raise TokenReused


async def _same_answer(tx: Transaction, auth: AuthContext, state: SessionState, token: str) -> Pair | None:
    """The pair that was given before, if it is unused. The keys may have been rotated meanwhile."""
    for successor in auth.mint.successors(token):
        link = await tokens.find_refresh_token(tx, digest(successor))
        if link is not None and link.used_for is None:
            return _pair(auth, state.user_id, state.session_id, successor, link.left)
    return None


def _pair(auth: AuthContext, user_id: UserId, session_id: SessionId, refresh_token: str, left: float) -> Pair:
    access_token = auth.mint.access_token(user_id, session_id, now=time.time())
    return Pair(access_token, refresh_token, auth.rules.access_token_ttl, round(left))


async def end(tx: Transaction, user_id: UserId, which: SessionFilter, caller: Caller, *, why: str) -> list[SessionId]:
    """Ends these sessions, with their audit rows and events, in this transaction."""
    ended = await store.end_sessions(tx, user_id, which)
    for one in ended:
        _record_end(tx, user_id, one, caller, why=why)
    return ended


def _record_end(tx: Transaction, user_id: UserId, session_id: SessionId, caller: Caller, *, why: str) -> None:
    record(tx, AuditEvent.SESSION_ENDED, caller, user_id=user_id, session_id=session_id, detail=why)
    tx.emit(News("session_revoked", user_id=user_id, subject_id=session_id))


async def logout(auth: AuthContext, me: Identity, caller: Caller) -> None:
    async with auth.db.transaction() as tx:
        record(tx, AuditEvent.LOGOUT, caller, user_id=me.user_id, session_id=me.session_id)
        await end(tx, me.user_id, SessionFilter(only=me.session_id), caller, why="logout")


async def list_open(auth: AuthContext, me: Identity) -> list[SessionInfo]:
    """The sessions in which I am signed in."""
    async with auth.db.reading() as tx:
        return await store.find_infos(tx, me.user_id, auth.rules.token_lifetime)


async def end_one(auth: AuthContext, me: Identity, session_id: SessionId, caller: Caller) -> None:
    async with auth.db.transaction() as tx:
        if not await end(tx, me.user_id, SessionFilter(only=session_id), caller, why="ended by its owner"):
            raise NotFound


async def end_others(auth: AuthContext, me: Identity, caller: Caller) -> None:
    async with auth.db.transaction() as tx:
        await end(tx, me.user_id, SessionFilter(but=me.session_id), caller, why="ended by its owner")


async def issue_ticket(auth: AuthContext, me: Identity) -> str:
    ticket = new_opaque_token()
    async with auth.db.reading() as tx:
        await tokens.add_ticket(tx, me.session_id, digest(ticket), TICKET_TTL)
    return ticket
