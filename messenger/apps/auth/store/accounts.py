"""Statements about accounts and profiles."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, bindparam, exists, false, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.exc import IntegrityError

from messenger.apps.auth.limits import LoginAttempt
from messenger.apps.auth.tables import LoginFailure, User
from messenger.apps.auth.values import Account, Profile
from messenger.db.database import Database, Transaction
from messenger.db.statements import CompiledQuery
from messenger.errors import UserAlreadyExists
from messenger.identity import UserId

PROFILE = (User.id, User.name, User.email, User.display_name, User.about, User.created_at, User.deleted_at)
PROFILE_OF = CompiledQuery(select(*PROFILE).where(User.id == bindparam("user_id")))
HAS_ACCOUNTS = CompiledQuery(select(exists().where(User.name_key.is_not(None))))
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


async def has_accounts(db: Database) -> bool:
    """With which somebody can sign in."""
    return bool((await db.find_row(HAS_ACCOUNTS))[0])


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


async def lock_proven(tx: Transaction, account: Account, attempt: LoginAttempt) -> bool:
    """After the right password: lock the account, and begin its count of wrong ones anew; the address keeps its own.

    False: since it was read the account was deleted or its password changed.
    """
    proven = (
        select(User.id)
        .where(User.id == account.user_id, User.deleted_at.is_(None), User.password_set_at == account.password_set_at)
        .with_for_update(key_share=True)
        .cte("proven")
    )
    forgiven = (
        update(LoginFailure)
        .where(LoginFailure.account == attempt.account, exists().where(proven.c.id.is_not(None)))
        .values(account=None)
        .cte("forgiven")
    )
    return await tx.session.scalar(select(proven.c.id).add_cte(forgiven)) is not None


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
    row = await db.find_row(PROFILE_OF, user_id=user_id)
    return None if row is None else _profile(row)


async def find_profile_within(tx: Transaction, user_id: UserId) -> Profile | None:
    """As everything else that this transaction sees."""
    row = (await tx.session.execute(PROFILE_OF.statement, {"user_id": user_id})).one_or_none()
    return None if row is None else _profile(row)


async def find_profiles(tx: Transaction, ids: Collection[int]) -> dict[int, Profile]:
    rows = await tx.session.execute(select(*PROFILE).where(User.id.in_(ids)))
    return {row[0]: _profile(row) for row in rows}


async def lock_profile(tx: Transaction, user_id: UserId) -> Profile | None:
    """None: the account is gone. Adding this person to a chat at the same time waits for this, or this for it."""
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


def _profile(row: Any) -> Profile:
    user_id, name, email, display_name, about, created_at, deleted_at = row
    return Profile(UserId(user_id), name, email, display_name, about, created_at, deleted_at is not None)
