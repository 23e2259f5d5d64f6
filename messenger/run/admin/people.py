"""Finds the person a command is about: by name, e-mail, or the id that listings and reports show."""

from dataclasses import dataclass

from messenger.apps.auth.store import accounts as store
from messenger.db.database import Database
from messenger.errors import UserNotFound
from messenger.identity import MAX_ID, Identity, SessionId, UserId
from messenger.text import name_key

NO_SESSION = SessionId(0)  # an operator needs none


@dataclass(frozen=True, slots=True)
class Person:
    user_id: UserId
    name: str

    @property
    def identity(self) -> Identity:
        return Identity(self.user_id, NO_SESSION)


async def find(db: Database, who: str) -> Person | None:
    async with db.reading() as tx:
        account = await store.find_account(tx, name_key(who))
    if account is not None:
        return Person(account.user_id, account.name)
    if who.isascii() and who.isdigit() and int(who) <= MAX_ID:
        profile = await store.find_profile(db, UserId(int(who)))
        return Person(profile.user_id, profile.name) if profile is not None else None
    return None


async def get(db: Database, who: str) -> Person:
    found = await find(db, who)
    if found is None:
        raise UserNotFound(f"There is nobody called {who!r}.")
    return found
