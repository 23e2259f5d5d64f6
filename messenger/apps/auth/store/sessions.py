"""Statements about sessions."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    LargeBinary,
    Select,
    and_,
    any_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from messenger.apps.auth.tables import RefreshToken, Session
from messenger.apps.auth.values import Device, SessionFilter, SessionInfo, SessionState
from messenger.db.database import Database, Transaction
from messenger.db.statements import CompiledQuery
from messenger.identity import SessionId, UserId


async def open_session(
    tx: Transaction,
    user_id: UserId,
    device: Device,
    *,
    token_hash: bytes,
    lifetime: float,
    refresh_token_hash: bytes,
    refresh_token_ttl: float,
) -> tuple[SessionId, float]:
    """A session with its first refresh token, and the seconds that one has."""
    opened = (
        insert(Session)
        .values(
            user_id=user_id,
            token_hash=token_hash,
            client_id=device.client_id,
            device_name=device.name,
            expires_at=func.now() + timedelta(seconds=lifetime),
        )
        .returning(Session.id, Session.expires_at)
        .cte("opened")
    )
    end = func.least(func.now() + timedelta(seconds=refresh_token_ttl), opened.c.expires_at)
    first = select(literal(refresh_token_hash, LargeBinary), opened.c.id, end)
    statement = (
        insert(RefreshToken)
        .from_select(["token_hash", "session_id", "expires_at"], first)
        .returning(RefreshToken.session_id, func.extract("epoch", RefreshToken.expires_at - func.now()))
    )
    row = (await tx.session.execute(statement)).one()
    return SessionId(row[0]), float(row[1])


def state_of(*condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return select(
        Session.id,
        Session.user_id,
        Session.ended_at.is_not(None),
        func.extract("epoch", Session.expires_at - func.now()),
        func.extract("epoch", func.now() - Session.last_seen_at),
    ).where(*condition)


BY_TOKEN = CompiledQuery(state_of(Session.token_hash == bindparam("name")))
BY_ID = CompiledQuery(state_of(Session.id == bindparam("name")))


async def find_session(db: Database, name: bytes | SessionId) -> SessionState | None:
    """The one look at the row that every request begins with, named by the digest of its token or by its id."""
    return read_state(await db.find_row(BY_TOKEN if isinstance(name, bytes) else BY_ID, name=name))


async def touch_session(tx: Transaction, session_id: SessionId, step: float) -> None:
    """The second of two parallel requests finds it done."""
    statement = (
        update(Session)
        .where(
            Session.id == session_id,
            Session.ended_at.is_(None),
            Session.last_seen_at < func.now() - timedelta(seconds=step),
        )
        .values(last_seen_at=func.now())
    )
    await tx.session.execute(statement)


async def renew_sessions(tx: Transaction, ids: Collection[int], lifetime: float, step: float) -> set[int]:
    """Those of them that are still open, marked as used where that was not done for so long.

    A row that somebody else holds is being used or ended at this moment: it is left to them.
    """
    is_open = and_(
        Session.id == any_(literal(list(ids), ARRAY(BigInteger))),
        Session.ended_at.is_(None),
        Session.expires_at > func.now(),
        Session.last_seen_at > func.now() - timedelta(seconds=lifetime),
    )
    quiet = (
        select(Session.id)
        .where(is_open, Session.last_seen_at < func.now() - timedelta(seconds=step))
        .with_for_update(key_share=True, skip_locked=True)
    )
    renewed = update(Session).where(Session.id.in_(quiet)).values(last_seen_at=func.now()).cte("renewed")
    return set(await tx.session.scalars(select(Session.id).where(is_open).add_cte(renewed)))


async def revive_session(tx: Transaction, session_id: SessionId) -> None:
    await tx.session.execute(update(Session).where(Session.id == session_id).values(last_seen_at=func.now()))


async def end_sessions(tx: Transaction, user_id: UserId, which: SessionFilter) -> list[SessionId]:
    statement = update(Session).where(Session.user_id == user_id, Session.ended_at.is_(None))
    if which.only is not None:
        statement = statement.where(Session.id == which.only)
    if which.but is not None:
        statement = statement.where(Session.id != which.but)
    ended = await tx.session.scalars(statement.values(ended_at=func.now()).returning(Session.id))
    return [SessionId(found) for found in ended]


async def end_for_login(
    tx: Transaction, user_id: UserId, device: Device, browser: bytes | None, kept: int
) -> list[tuple[SessionId, bool]]:
    """The session that this login takes the place of (True), and all others but for so many that were used last."""
    is_replaced = func.coalesce(_replaced(device.client_id, browser), false())
    used_last = (
        select(Session.id)
        .where(Session.user_id == user_id, Session.ended_at.is_(None), ~is_replaced)
        .order_by(Session.last_seen_at.desc(), Session.id.desc())
        .limit(kept)
    )
    statement = (
        update(Session)
        .where(Session.user_id == user_id, Session.ended_at.is_(None), or_(is_replaced, Session.id.not_in(used_last)))
        .values(ended_at=func.now())
        .returning(Session.id, is_replaced)
    )
    return [(SessionId(row[0]), row[1]) for row in await tx.session.execute(statement)]


def _replaced(client_id: str | None, browser: bytes | None) -> ColumnElement[bool]:
    """The session of the same device, and the one this browser held, unless that is another device by name."""
    of_device = Session.client_id == client_id if client_id is not None else false()
    if browser is None:
        return of_device
    of_browser = Session.token_hash == browser
    return of_browser if client_id is None else or_(of_device, and_(of_browser, Session.client_id.is_(None)))


async def find_infos(tx: Transaction, user_id: UserId, lifetime: float) -> list[SessionInfo]:
    """Sessions that are open or can still be refreshed."""
    can_be_refreshed = exists().where(
        RefreshToken.session_id == Session.id, RefreshToken.used_at.is_(None), RefreshToken.expires_at > func.now()
    )
    statement = (
        select(Session.id, Session.client_id, Session.device_name, Session.created_at, Session.last_seen_at)
        .where(
            Session.user_id == user_id,
            Session.ended_at.is_(None),
            Session.expires_at > func.now(),
            or_(Session.last_seen_at > func.now() - timedelta(seconds=lifetime), can_be_refreshed),
        )
        .order_by(Session.last_seen_at.desc(), Session.id.desc())
    )
    return [SessionInfo(SessionId(row[0]), *row[1:]) for row in await tx.session.execute(statement)]


async def sweep_sessions(tx: Transaction, kept: float, limit: int) -> None:
    """With their refresh tokens and tickets. A few at a time, past rows that another worker holds."""
    over = func.now() - timedelta(seconds=kept)
    chosen = (
        select(Session.id)
        .where(or_(Session.expires_at < over, Session.ended_at < over))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    await tx.session.execute(delete(Session).where(Session.id.in_(chosen)))


def read_state(row: Any) -> SessionState | None:
    return (
        None if row is None else SessionState(SessionId(row[0]), UserId(row[1]), row[2], float(row[3]), float(row[4]))
    )
