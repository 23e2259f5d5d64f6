"""The statements: one function, one statement. Moments are the database's, so the clocks of workers do not matter."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.exc import IntegrityError

from messenger.apps.auth.limits import WINDOW, Bounds, Guess, Wait
from messenger.apps.auth.schemas import (
    Account,
    Device,
    Event,
    Profile,
    RefreshState,
    Seat,
    SessionState,
    Which,
)
from messenger.apps.auth.tables import Audit, LoginFailure, RefreshToken, Session, Ticket, User
from messenger.db.engine import Database, Transaction
from messenger.db.looks import Look
from messenger.errors import UserAlreadyExists
from messenger.identity import Caller, Identity, SessionId, UserId

PROFILE = (User.id, User.name, User.email, User.display_name, User.about, User.created_at, User.deleted_at)
PROFILE_OF = Look(select(*PROFILE).where(User.id == bindparam("user_id")))
TRIGRAM = 3  # shorter pieces of a name have no entry in the index: they are looked for at its beginning


async def add_user(
    tx: Transaction, name: str, key: str, email: str | None, email_key: str | None, password_hash: str
) -> UserId | None:
    """None: the name or the e-mail is taken."""
    statement = (
        pg_insert(User)
        .values(name=name, name_key=key, email=email, email_key=email_key, password_hash=password_hash)
        .on_conflict_do_nothing()
        .returning(User.id)
    )
    found = await tx.session.scalar(statement)
    return None if found is None else UserId(found)


async def find_taken(
    tx: Transaction, key: str | None, email_key: str | None, *, but: UserId | None = None
) -> tuple[bool, bool]:
    """Is the name taken, is the e-mail taken, by somebody else."""
    others = User.id != but if but is not None else User.id.is_not(None)
    statement = select(
        exists().where(User.name_key == key, others) if key is not None else false(),
        exists().where(User.email_key == email_key, others) if email_key is not None else false(),
    )
    row = (await tx.session.execute(statement)).one()
    return row[0], row[1]


async def find_account(tx: Transaction, key: str) -> Account | None:
    """By name or e-mail. What looks like an e-mail is one first: a name must not shadow somebody's e-mail."""
    first = User.email_key if "@" in key else User.name_key
    statement = (
        select(User.id, User.name, User.password_hash, User.password_set_at)
        .where(or_(User.name_key == key, User.email_key == key))
        .order_by((first == key).desc().nulls_last())
        .limit(1)
    )
    row = (await tx.session.execute(statement)).one_or_none()
    return None if row is None else Account(UserId(row[0]), row[1], row[2], row[3])


async def get_account(tx: Transaction, user_id: UserId) -> Account:
    statement = select(User.id, User.name, User.password_hash, User.password_set_at).where(User.id == user_id)
    row = (await tx.session.execute(statement)).one()
    return Account(UserId(row[0]), row[1], row[2], row[3])


async def lock_account(tx: Transaction, account: Account) -> bool:
    """False: since it was read the account was deleted or its password changed."""
    statement = (
        select(User.id)
        .where(User.id == account.user_id, User.deleted_at.is_(None), User.password_set_at == account.password_set_at)
        .with_for_update(key_share=True)
    )
    return await tx.session.scalar(statement) is not None


async def replace_hash(tx: Transaction, account: Account, password_hash: str) -> None:
    """The same password, made with newer parameters."""
    statement = (
        update(User)
        .where(User.id == account.user_id, User.password_hash == account.password_hash)
        .values(password_hash=password_hash)
    )
    await tx.session.execute(statement)


async def set_password(tx: Transaction, user_id: UserId, password_hash: str) -> None:
    statement = (
        update(User)
        .where(User.id == user_id)
        .values(password_hash=password_hash, password_set_at=func.clock_timestamp())
    )
    await tx.session.execute(statement)


async def bury_user(tx: Transaction, user_id: UserId, name: str) -> None:
    """The row stays, since messages point to it; the person is gone from it."""
    statement = (
        update(User)
        .where(User.id == user_id)
        .values(
            name=name,
            name_key=None,
            email=None,
            email_key=None,
            password_hash=None,
            display_name="",
            about="",
            deleted_at=func.now(),
        )
    )
    await tx.session.execute(statement)


async def find_profile(db: Database, user_id: UserId) -> Profile | None:
    row = await db.look(PROFILE_OF, user_id=user_id)
    return None if row is None else _profile(row)


async def find_profile_within(tx: Transaction, user_id: UserId) -> Profile | None:
    """As everything else that this transaction sees."""
    row = (await tx.session.execute(PROFILE_OF.statement, {"user_id": user_id})).one_or_none()
    return None if row is None else _profile(row)


async def find_profiles(tx: Transaction, ids: Collection[int]) -> dict[int, Profile]:
    rows = await tx.session.execute(select(*PROFILE).where(User.id.in_(ids)))
    return {row[0]: _profile(row) for row in rows}


async def lock_profile(tx: Transaction, user_id: UserId) -> Profile | None:
    """None: the account is gone. Whoever lets this person into a chat at the same time waits, or is waited for."""
    statement = select(*PROFILE).where(User.id == user_id, User.deleted_at.is_(None)).with_for_update()
    row = (await tx.session.execute(statement)).one_or_none()
    return None if row is None else _profile(row)


async def change_profile(tx: Transaction, user_id: UserId, changes: dict[str, str | None]) -> Profile:
    statement = update(User).where(User.id == user_id).values(**changes).returning(*PROFILE)
    try:
        return _profile((await tx.session.execute(statement)).one())
    except IntegrityError:
        raise UserAlreadyExists from None


async def find_people(tx: Transaction, key: str, start: str, limit: int) -> list[tuple[str, Profile]]:
    """Best first: the shorter a name that holds the piece, the closer it is. Each with its key, for paging."""
    statement: Select[*tuple[Any, ...]] = (
        select(User.name_key, *PROFILE)
        .where(User.name_key.is_not(None))
        .order_by(func.length(User.name_key), User.name_key)
        .limit(limit)
    )
    if key:
        inside = User.name_key.contains(key, autoescape=True)
        statement = statement.where(inside if len(key) >= TRIGRAM else User.name_key.startswith(key, autoescape=True))
    if start:
        statement = statement.where(tuple_(func.length(User.name_key), User.name_key) >= tuple_(len(start), start))
    return [(row[0], _profile(row[1:])) for row in await tx.session.execute(statement)]


async def add_session(
    tx: Transaction, user_id: UserId, token_hash: bytes, device: Device, lifetime: float
) -> SessionId:
    statement = (
        insert(Session)
        .values(
            user_id=user_id,
            token_hash=token_hash,
            client_id=device.client_id,
            device_name=device.name,
            expires_at=func.now() + timedelta(seconds=lifetime),
        )
        .returning(Session.id)
    )
    return SessionId((await tx.session.execute(statement)).scalar_one())


def _state_of(*condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return select(
        Session.id,
        Session.user_id,
        Session.ended_at.is_not(None),
        func.extract("epoch", Session.expires_at - func.now()),
        func.extract("epoch", func.now() - Session.last_seen_at),
    ).where(*condition)


BY_TOKEN = Look(_state_of(Session.token_hash == bindparam("name")))
BY_ID = Look(_state_of(Session.id == bindparam("name")))


async def find_session(db: Database, name: bytes | SessionId) -> SessionState | None:
    """The one look at the row that every request begins with, named by the digest of its token or by its id."""
    return _state(await db.look(BY_TOKEN if isinstance(name, bytes) else BY_ID, name=name))


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


async def revive_session(tx: Transaction, session_id: SessionId) -> None:
    await tx.session.execute(update(Session).where(Session.id == session_id).values(last_seen_at=func.now()))


async def end_sessions(tx: Transaction, user_id: UserId, which: Which) -> list[SessionId]:
    statement = update(Session).where(Session.user_id == user_id, Session.ended_at.is_(None))
    if which.only is not None:
        statement = statement.where(Session.id == which.only)
    if which.but is not None:
        statement = statement.where(Session.id != which.but)
    if which.replaced_by is not None:
        statement = statement.where(_replaced(which.replaced_by.client_id, which.browser))
    if which.idler_than is not None:
        used_last = (
            select(Session.id)
            .where(Session.user_id == user_id, Session.ended_at.is_(None))
            .order_by(Session.last_seen_at.desc(), Session.id.desc())
            .limit(which.idler_than)
        )
        statement = statement.where(Session.id.not_in(used_last))
    ended = await tx.session.scalars(statement.values(ended_at=func.now()).returning(Session.id))
    return [SessionId(found) for found in ended]


def _replaced(client_id: str | None, browser: bytes | None) -> ColumnElement[bool]:
    """The session of the same device, and the one this browser held, unless that is another device by name."""
    of_device = Session.client_id == client_id if client_id is not None else false()
    if browser is None:
        return of_device
    of_browser = Session.token_hash == browser
    return of_browser if client_id is None else or_(of_device, and_(of_browser, Session.client_id.is_(None)))


async def find_seats(tx: Transaction, user_id: UserId, lifetime: float) -> list[Seat]:
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
    return [Seat(SessionId(row[0]), *row[1:]) for row in await tx.session.execute(statement)]


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
    """The session a refresh token belongs to: whoever refreshes it at the same time waits here."""
    statement = (
        _state_of(RefreshToken.token_hash == token_hash)
        .join(RefreshToken, RefreshToken.session_id == Session.id)
        .with_for_update(of=Session, key_share=True)
    )
    return _state((await tx.session.execute(statement)).one_or_none())


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
    """Whoever deletes it has it: once, even of many at the same time. A late one is gone and opens nothing."""
    statement = (
        delete(Ticket)
        .where(Ticket.ticket_hash == ticket_hash)
        .returning(Ticket.session_id, Ticket.expires_at > func.now())
    )
    row = (await tx.session.execute(statement)).one_or_none()
    return SessionId(row[0]) if row is not None and row[1] else None


LOCK_TRIES = text("select pg_advisory_xact_lock(key) from (select unnest(cast(:keys as bigint[])) as key order by 1) k")


async def lock_tries(tx: Transaction, guess: Guess) -> None:
    """Guesses at one account, and from one address, are judged one after the other; always locked in one order."""
    await tx.session.execute(LOCK_TRIES, {"keys": guess.locks})


# The oldest failure that still counts against the bound decides when there is room again.
FIND_WAIT = text("""
    select
        (select extract(epoch from failed_at + make_interval(secs => :window) - statement_timestamp())
           from login_failures
          where account = :account and failed_at > statement_timestamp() - make_interval(secs => :window)
          order by failed_at desc offset :per_account - 1 limit 1),
        (select extract(epoch from failed_at + make_interval(secs => :window) - statement_timestamp())
           from login_failures
          where address = :address and failed_at > statement_timestamp() - make_interval(secs => :window)
          order by failed_at desc offset :per_network - 1 limit 1)
""")


async def find_wait(tx: Transaction, guess: Guess, bounds: Bounds) -> Wait | None:
    """Until one more try is allowed; None: now."""
    given = {
        "window": float(WINDOW),
        "account": guess.account,
        "address": guess.network,
        "per_account": bounds.account.most,
        "per_network": bounds.network.most,
    }
    found = (await tx.session.execute(FIND_WAIT, given)).one()
    waits = [
        Wait(float(seconds), quota)
        for seconds, quota in zip(found, (bounds.account, bounds.network), strict=True)
        if seconds is not None
    ]
    return max(waits, key=lambda wait: wait.seconds, default=None)


async def add_failure(tx: Transaction, guess: Guess) -> None:
    await tx.session.execute(insert(LoginFailure).values(account=guess.account, address=guess.network))


async def forgive(tx: Transaction, guess: Guess) -> None:
    """The account's count begins anew; the address keeps its own."""
    statement = update(LoginFailure).where(LoginFailure.account == guess.account).values(account=None)
    await tx.session.execute(statement)


async def record(
    tx: Transaction,
    event: Event,
    caller: Caller,
    *,
    user_id: UserId | None = None,
    sessions: Sequence[SessionId | None] = (None,),
    detail: str = "",
) -> None:
    rows = [
        {
            "event": event,
            "user_id": user_id,
            "session_id": session_id,
            "address": caller.address,
            "request_id": caller.request_id,
            "detail": detail,
        }
        for session_id in sessions
    ]
    if rows:
        await tx.session.execute(insert(Audit).values(rows))


async def record_membership(
    tx: Transaction,
    event: Event,
    chat_id: int,
    people: Mapping[UserId, str],
    me: Identity | None,
    caller: Caller,
) -> None:
    rows = [
        {
            "event": event,
            "user_id": me.user_id if me is not None else None,
            "session_id": me.session_id if me is not None else None,
            "address": caller.address,
            "request_id": caller.request_id,
            "chat_id": chat_id,
            "subject_id": person,
            "detail": detail,
        }
        for person, detail in people.items()
    ]
    if rows:
        await tx.session.execute(insert(Audit).values(rows))


async def sweep_tickets(tx: Transaction) -> None:
    await tx.session.execute(delete(Ticket).where(Ticket.expires_at < func.now()))


async def sweep_failures(tx: Transaction) -> None:
    await tx.session.execute(
        delete(LoginFailure).where(LoginFailure.failed_at < func.now() - timedelta(seconds=WINDOW))
    )


async def sweep_refresh_tokens(tx: Transaction) -> None:
    """Spent ones stay until they would have expired: shown again, one gives a thief away."""
    await tx.session.execute(delete(RefreshToken).where(RefreshToken.expires_at < func.now() - timedelta(days=1)))


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


def _state(row: Any) -> SessionState | None:
    return (
        None if row is None else SessionState(SessionId(row[0]), UserId(row[1]), row[2], float(row[3]), float(row[4]))
    )


def _profile(row: Any) -> Profile:
    user_id, name, email, display_name, about, created_at, deleted_at = row
    return Profile(UserId(user_id), name, email, display_name, about, created_at, deleted_at is not None)
