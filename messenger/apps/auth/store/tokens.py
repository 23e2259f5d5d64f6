"""Statements about what is shown instead of a password: refresh tokens, and tickets for sockets."""

from datetime import timedelta

from sqlalchemy import delete, func, insert, select, update

from messenger.apps.auth.store.sessions import read_state, state_of
from messenger.apps.auth.tables import RefreshToken, Session, Ticket
from messenger.apps.auth.values import RefreshState, SessionState
from messenger.db.database import Transaction
from messenger.identity import SessionId


async def add_refresh_token(tx: Transaction, session_id: SessionId, token_hash: bytes, ttl: float) -> float:
    """It never outlives its session. Return the seconds it has."""
    end = select(Session.expires_at).where(Session.id == session_id).scalar_subquery()
    statement = (
        insert(RefreshToken)
        .values(
            token_hash=token_hash,
            session_id=session_id,
            expires_at=func.least(func.now() + timedelta(seconds=ttl), end),
        )
        .returning(func.extract("epoch", RefreshToken.expires_at - func.now()))
    )
    return float((await tx.session.execute(statement)).scalar_one())


async def lock_family(tx: Transaction, token_hash: bytes) -> SessionState | None:
    """The session a refresh token belongs to: another refresh at the same time waits here."""
    statement = (
        state_of(RefreshToken.token_hash == token_hash)
        .join(RefreshToken, RefreshToken.session_id == Session.id)
        .with_for_update(of=Session, key_share=True)
    )
    return read_state((await tx.session.execute(statement)).one_or_none())


async def find_refresh_token(tx: Transaction, token_hash: bytes) -> RefreshState | None:
    statement = select(
        func.extract("epoch", func.clock_timestamp() - RefreshToken.used_at),
        func.extract("epoch", RefreshToken.expires_at - func.clock_timestamp()),
    ).where(RefreshToken.token_hash == token_hash)
    row = (await tx.session.execute(statement)).one_or_none()
    return None if row is None else RefreshState(None if row[0] is None else float(row[0]), float(row[1]))


async def spend_refresh_token(tx: Transaction, token_hash: bytes) -> None:
    statement = update(RefreshToken).where(RefreshToken.token_hash == token_hash).values(used_at=func.clock_timestamp())
    await tx.session.execute(statement)


async def add_ticket(tx: Transaction, session_id: SessionId, ticket_hash: bytes, ttl: float) -> None:
    statement = insert(Ticket).values(
        ticket_hash=ticket_hash, session_id=session_id, expires_at=func.now() + timedelta(seconds=ttl)
    )
    await tx.session.execute(statement)


async def take_ticket(tx: Transaction, ticket_hash: bytes) -> SessionId | None:
    """The one request that deletes it has it, even of many at the same time. A late one is gone and opens nothing."""
    statement = (
        delete(Ticket)
        .where(Ticket.ticket_hash == ticket_hash)
        .returning(Ticket.session_id, Ticket.expires_at > func.now())
    )
    row = (await tx.session.execute(statement)).one_or_none()
    return SessionId(row[0]) if row is not None and row[1] else None


async def sweep_tickets(tx: Transaction) -> None:
    await tx.session.execute(delete(Ticket).where(Ticket.expires_at < func.now()))


async def sweep_refresh_tokens(tx: Transaction) -> None:
    """Spent ones stay until they would have expired: shown again, one gives a thief away."""
    await tx.session.execute(delete(RefreshToken).where(RefreshToken.expires_at < func.now() - timedelta(days=1)))
