"""What accounts and sessions need: the database, the rules, the slots for hashing, the signing keys."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from messenger.apps.auth.limits import Bounds
from messenger.apps.auth.passwords import Passwords
from messenger.apps.auth.tokens import Mint
from messenger.db.database import Database, Transaction
from messenger.identity import Caller, Identity, UserId
from messenger.settings import AuthSettings

Farewell = Callable[[Transaction, Identity, Caller], Awaitable[None]]
Renaming = Callable[[Transaction, UserId], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class AuthContext:
    db: Database
    rules: AuthSettings
    passwords: Passwords
    mint: Mint
    # What other sub-apps do in the same transaction when an account is deleted, or its name is changed.
    farewells: Sequence[Farewell] = ()
    renamings: Sequence[Renaming] = ()

    @classmethod
    def prepare(
        cls,
        rules: AuthSettings,
        db: Database,
        keys: Sequence[str],
        farewells: Sequence[Farewell] = (),
        renamings: Sequence[Renaming] = (),
    ) -> "AuthContext":
        mint = Mint(keys, access_token_ttl=rules.access_token_ttl)
        return cls(db, rules, Passwords(), mint, farewells, renamings)

    @property
    def bounds(self) -> Bounds:
        return Bounds.of(self.rules)


AUTH: web.AppKey[AuthContext] = web.AppKey("auth", AuthContext)
