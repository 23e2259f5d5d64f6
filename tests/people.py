"""People who are put there by statements: nobody hashes a password for them, which they have all the same."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from messenger.apps.auth import passwords, sessions
from messenger.apps.auth.context import AUTH
from messenger.apps.auth.store import accounts
from messenger.apps.auth.values import Device, SignedIn
from messenger.identity import Caller
from messenger.text import name_key
from tests.actors import PASSWORD, Person, Server


@asynccontextmanager
async def present(server: Server, name: str) -> AsyncIterator[Person]:
    """Like `Person.registered`, for tests that are not about signing in."""
    auth = server.runner.app[AUTH]
    async with Person.stranger(server) as person:
        async with auth.db.transaction() as tx:
            user_id = await accounts.add_user(tx, name, name_key(name), None, None, password_hash())
            assert user_id is not None, f"{name} is there already"
            _, token, pair = await sessions.open_session(tx, auth, user_id, Device(), Caller("127.0.0.1", ""))
        person.carries(SignedIn(user_id, name, token, pair).as_answer())
        yield person


@cache
def password_hash() -> str:
    return passwords.HASHER.hash(PASSWORD)
