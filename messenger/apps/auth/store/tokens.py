"""Statements about what is shown instead of a password: refresh tokens, tickets for sockets, links to sign in."""

from datetime import timedelta

from sqlalchemy import LargeBinary, delete, func, insert, literal, select, update

from messenger.apps.auth.store.sessions import read_state, state_of
from messenger.apps.auth.tables import RefreshToken, Session, SignInLink, Ticket, User
from messenger.apps.auth.values import RefreshState, SessionState
from messenger.db.database import Transaction
from messenger.identity import SessionId, UserId


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


async def add_link(tx: Transaction, user_id: UserId, token_hash: bytes, ttl: float) -> bool:
    """False: nobody can sign in to this account any more."""
    of_account = select(literal(token_hash, LargeBinary), User.id, func.now() + timedelta(seconds=ttl)).where(
        User.id == user_id, User.name_key.is_not(None)
    )
    statement = (
        insert(SignInLink)
        .from_select(["token_hash", "user_id", "expires_at"], of_account)
        .returning(SignInLink.user_id)
    )
    return await tx.session.scalar(statement) is not None


async def take_link(tx: Transaction, token_hash: bytes) -> tuple[UserId, str] | None:
    """Whom the link signs in, with the account locked. The one request that deletes it has it, as with a ticket.

    None: it is unknown, used or late, or since it was made the account was deleted or its password changed.
    """
    taken = (
        delete(SignInLink)
        .where(SignInLink.token_hash == token_hash)
        .returning(SignInLink.user_id, SignInLink.made_at, SignInLink.expires_at)
        .cte("taken")
    )
    statement = (
        select(User.id, User.name)
        .join(taken, taken.c.user_id == User.id)
        .where(User.name_key.is_not(None), User.password_set_at <= taken.c.made_at, taken.c.expires_at > func.now())
        .with_for_update(of=User, key_share=True)
    )
    row = (await tx.session.execute(statement)).one_or_none()
    return None if row is None else (UserId(row[0]), row[1])


async def sweep_links(tx: Transaction) -> None:
    await tx.session.execute(delete(SignInLink).where(SignInLink.expires_at < func.now()))


async def sweep_tickets(tx: Transaction) -> None:
    await tx.session.execute(delete(Ticket).where(Ticket.expires_at < func.now()))


async def sweep_refresh_tokens(tx: Transaction) -> None:
    """Spent ones stay until they would have expired: shown again, one gives a thief away."""
    await tx.session.execute(delete(RefreshToken).where(RefreshToken.expires_at < func.now() - timedelta(days=1)))
