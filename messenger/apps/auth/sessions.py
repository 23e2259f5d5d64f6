"""Sessions: opening, finding, reviving and ending them.

A session is one device and one row. Its `session_id`, its cookie and its access tokens open nothing once it was idle
for `Config.Auth.token_lifetime` (session-expired). The row itself stays while its refresh token is good: refreshing
gives a new pair and wakes the others up again. Nothing keeps a session past LIFETIME. Ending it is final, at once,
and takes everything along that names it.
"""

import logging
import time
from dataclasses import dataclass

from messenger.apps.auth import store
from messenger.apps.auth.desk import Desk
from messenger.apps.auth.memory import Memory
from messenger.apps.auth.schemas import Device, Event, Pair, Seat, SessionState, Which
from messenger.apps.auth.tokens import OPAQUE_TOKEN, digest, new_opaque_token, new_session_token
from messenger.db.engine import Transaction
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


# The digest of a session's token; or its id, and whose an access token claims it to be.
Name = bytes | tuple[SessionId, UserId | None]


async def identify(desk: Desk, credential: Credential, memory: Memory | None) -> Identity:
    """The credential names a session; its row says whether it still opens anything. `memory`: who will ask again."""
    if isinstance(credential, SocketTicket):
        return (await _look(desk, await _take_ticket(desk, credential)))[0]
    name = _name(desk, credential)
    if memory is None:
        return (await _look(desk, name))[0]
    known = await memory.find(name)
    if known is not None:
        return known
    place = memory.place
    identity, seconds = await _look(desk, name)
    memory.keep(name, identity, place, seconds)
    return identity


def _name(desk: Desk, credential: SessionToken | AccessToken) -> Name:
    if isinstance(credential, SessionToken):
        return digest(credential.text)
    claim = desk.mint.read_access_token(credential.text, now=time.time())
    return claim.session_id, claim.user_id


async def _take_ticket(desk: Desk, ticket: SocketTicket) -> Name:
    async with desk.db.reading() as tx:
        found = await store.take_ticket(tx, digest(ticket.text))
    if found is None:
        raise TokenInvalid
    return found, None


async def _look(desk: Desk, name: Name) -> tuple[Identity, float]:
    """Who it is, and for how many seconds that may be believed without another look."""
    state = await store.find_session(desk.db, name if isinstance(name, bytes) else name[0])
    if state is None or not (isinstance(name, bytes) or name[1] in {None, state.user_id}):
        raise TokenInvalid
    if state.has_ended:
        raise SessionRevoked
    if state.has_expired or state.quiet_for >= desk.rules.token_lifetime:
        raise SessionExpired
    step = min(TOUCH_STEP, desk.rules.token_lifetime / 10)
    if state.quiet_for > step:
        async with desk.db.reading() as tx:
            await store.touch_session(tx, state.session_id, step)
    identity = Identity(state.user_id, state.session_id, reads_all=desk.rules.disabled)
    believed = step if state.quiet_for > step else step - state.quiet_for
    return identity, min(believed, state.left)


async def open_session(
    tx: Transaction, desk: Desk, user_id: UserId, device: Device, caller: Caller, *, browser: str | None = None
) -> tuple[SessionId, str, Pair]:
    """A new session with credentials of its own, in place of the one this device had."""
    which = Which(replaced_by=device, browser=digest(browser) if browser is not None else None)
    await end(tx, user_id, which, caller, why="replaced by a new login")
    others = desk.rules.max_sessions_per_user - 1  # the account is locked: no other login makes them more
    await end(tx, user_id, Which(idler_than=others), caller, why="too many sessions")
    token = new_session_token()
    session_id = await store.add_session(tx, user_id, digest(token), device, LIFETIME)
    pair = await _hand_out(tx, desk, user_id, session_id, new_opaque_token())
    return session_id, token, pair


async def refresh(desk: Desk, token: str, caller: Caller) -> Pair:
    """A new pair for a refresh token that was not used before, and again for whoever lost the answer."""
    if not OPAQUE_TOKEN.fullmatch(token):
        raise TokenInvalid
    async with desk.db.transaction() as tx:
        state = await store.lock_family(tx, digest(token))
        link = await store.find_refresh_token(tx, digest(token)) if state is not None else None
        if state is None or link is None:
            raise TokenInvalid
        if state.has_ended:
            raise SessionRevoked
        if link.used_for is None:
            if state.has_expired or link.left <= 0:
                raise SessionExpired("This refresh token has expired.")
            await store.spend_refresh_token(tx, digest(token))
            await store.revive_session(tx, state.session_id)
            return await _hand_out(tx, desk, state.user_id, state.session_id, desk.mint.successors(token)[0])
        again = await _same_answer(tx, desk, state, token) if link.used_for <= GRACE else None
        if again is not None:
            return again
        await store.record(tx, Event.REFRESH_REUSED, caller, user_id=state.user_id, sessions=[state.session_id])
        await end(tx, state.user_id, Which(only=state.session_id), caller, why="refresh token reused")
    log.warning("refresh token reused user=%s session=%s", state.user_id, state.session_id)
    raise TokenReused


async def _same_answer(tx: Transaction, desk: Desk, state: SessionState, token: str) -> Pair | None:
    """The pair that was given before, while nobody has used it: keys may have been rotated meanwhile."""
    for successor in desk.mint.successors(token):
        link = await store.find_refresh_token(tx, digest(successor))
        if link is not None and link.used_for is None:
            return _pair(desk, state.user_id, state.session_id, successor, link.left)
    return None


async def _hand_out(tx: Transaction, desk: Desk, user_id: UserId, session_id: SessionId, token: str) -> Pair:
    left = await store.add_refresh_token(tx, session_id, digest(token), desk.rules.refresh_token_ttl)
    return _pair(desk, user_id, session_id, token, left)


def _pair(desk: Desk, user_id: UserId, session_id: SessionId, refresh_token: str, left: float) -> Pair:
    access_token = desk.mint.access_token(user_id, session_id, now=time.time())
    return Pair(access_token, refresh_token, desk.rules.access_token_ttl, round(left))


async def end(tx: Transaction, user_id: UserId, which: Which, caller: Caller, *, why: str) -> list[SessionId]:
    """The one way a session ends: everything that must happen with it happens in this transaction."""
    if which.replaced_by is not None and which.replaced_by.client_id is None and which.browser is None:
        return []
    ended = await store.end_sessions(tx, user_id, which)
    if ended:
        await store.record(tx, Event.SESSION_ENDED, caller, user_id=user_id, sessions=ended, detail=why)
        tx.emit(*(News("session_revoked", user_id=user_id, subject_id=one) for one in ended))
    return ended


async def logout(desk: Desk, me: Identity, caller: Caller) -> None:
    async with desk.db.transaction() as tx:
        await store.record(tx, Event.LOGOUT, caller, user_id=me.user_id, sessions=[me.session_id])
        await end(tx, me.user_id, Which(only=me.session_id), caller, why="logout")


async def seats(desk: Desk, me: Identity) -> list[Seat]:
    """Where am I signed in?"""
    async with desk.db.reading() as tx:
        return await store.find_seats(tx, me.user_id, desk.rules.token_lifetime)


async def end_one(desk: Desk, me: Identity, session_id: SessionId, caller: Caller) -> None:
    async with desk.db.transaction() as tx:
        if not await end(tx, me.user_id, Which(only=session_id), caller, why="ended by its owner"):
            raise NotFound


async def end_others(desk: Desk, me: Identity, caller: Caller) -> None:
    async with desk.db.transaction() as tx:
        await end(tx, me.user_id, Which(but=me.session_id), caller, why="ended by its owner")


async def issue_ticket(desk: Desk, me: Identity) -> str:
    ticket = new_opaque_token()
    async with desk.db.reading() as tx:
        await store.add_ticket(tx, me.session_id, digest(ticket), TICKET_TTL)
    return ticket
