"""Passwords: which are accepted, and hashing them in a few threads of their own.

Per process: two slots. A request that gets none in time is refused, so a flood of logins cannot starve the rest.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from messenger.errors import Unavailable

T = TypeVar("T")

SLOTS = 2  # 19 MiB each while at work
PATIENCE = 5.0  # seconds to wait for a slot
LONGEST = 1024
LIST_FROM = 8  # installations with a lower minimum accept weak passwords, so the list is not used

HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)  # argon2id; the floor OWASP names


def find_flaw(password: str, min_length: int) -> str | None:
    if not min_length <= len(password) <= LONGEST:
        return f"must have {min_length} to {LONGEST} characters"
    if min_length >= LIST_FROM and password.casefold() in common_passwords():
        return "is among the first that anybody would guess"
    return None


@cache
def common_passwords() -> frozenset[str]:
    return frozenset(files(__package__).joinpath("common_passwords.txt").read_text("utf-8").split())


@cache
def nobodys_hash() -> str:
    """Verified for unknown names, so that they take as long as known ones."""
    return HASHER.hash(secrets.token_hex(16))


class Passwords:
    """The slots. `verified` counts every verification, a dummy's too."""

    def __init__(self, *, slots: int = SLOTS, patience: float = PATIENCE) -> None:
        self.patience = patience
        self.verified = 0
        self._free = asyncio.Semaphore(slots)
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="passwords")
        self._dummy = nobodys_hash()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator["HashingSlot"]:
        """Wait for a slot. Never wait for one with a database connection in hand: the holder of a slot may need one."""
        try:
            async with asyncio.timeout(self.patience):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable("Too many people are signing in right now.", retry_after=1) from None
        try:
            yield HashingSlot(self)
        finally:
            self._free.release()

    async def work(self, call: Callable[..., T], *arguments: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        self.verified += 1
        matches = await self.work(_matches, password_hash or self._dummy, password)
        return matches and password_hash is not None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class HashingSlot:
    """One slot, held."""

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """No hash: an unknown name. It takes as long, and nothing matches."""
        return await self._passwords.verify(password_hash, password)

    async def hash(self, password: str) -> str:
        return await self._passwords.work(HASHER.hash, password)

    async def rehash(self, password_hash: str | None, password: str) -> str | None:
        """A new hash when the old one was made with other parameters."""
        is_old = password_hash is not None and HASHER.check_needs_rehash(password_hash)
        return await self.hash(password) if is_old else None


def _matches(password_hash: str, password: str) -> bool:
    try:
        return HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
