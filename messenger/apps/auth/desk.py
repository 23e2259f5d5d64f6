"""What signing in needs at hand: the database, the rules, the slots for hashing, the signing keys."""

from collections.abc import Sequence
from dataclasses import dataclass

from messenger.apps.auth.limits import Bounds
from messenger.apps.auth.passwords import Passwords
from messenger.apps.auth.tokens import Mint
from messenger.db.engine import Database
from messenger.settings import AuthSettings


@dataclass(frozen=True, slots=True)
class Desk:
    db: Database
    rules: AuthSettings
    passwords: Passwords
    mint: Mint

    @classmethod
    def prepare(cls, rules: AuthSettings, db: Database, keys: Sequence[str]) -> "Desk":
        return cls(db, rules, Passwords(), Mint(keys, access_token_ttl=rules.access_token_ttl))

    @property
    def bounds(self) -> Bounds:
        return Bounds.of(self.rules)
