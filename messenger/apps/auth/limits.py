"""The bounds on wrong passwords, by account and by address. Counted in the database, for all workers."""

import hashlib
from dataclasses import dataclass

from messenger.errors import Quota
from messenger.settings import AuthSettings
from messenger.text import name_key
from messenger.web.clients import network_of

WINDOW = 15 * 60  # seconds, sliding


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """The account whose password is tried (by the name as typed, existing or not), and the address."""

    account: bytes
    network: str

    @property
    def locks(self) -> list[int]:
        """The numbers of two locks, for the account and for the address."""
        halves = (self.account, hashlib.sha256(self.network.encode()).digest())
        return [int.from_bytes(half[:8], signed=True) for half in halves]


@dataclass(frozen=True, slots=True)
class Bounds:
    account: Quota
    network: Quota

    @classmethod
    def of(cls, rules: AuthSettings) -> "Bounds":
        return cls(
            Quota("passwords-per-account", rules.login_tries_per_account, WINDOW),
            Quota("passwords-per-address", rules.login_tries_per_address, WINDOW),
        )


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds until one more try is allowed, and by which bound."""

    seconds: float
    quota: Quota


def login_attempt(name: str, address: str) -> LoginAttempt:
    return LoginAttempt(hashlib.sha256(name_key(name).encode("utf-8", "surrogatepass")).digest(), network_of(address))
