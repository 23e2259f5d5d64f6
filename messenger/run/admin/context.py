"""What commands need: settings, a database with the right schema, and the services without their handlers."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from cryptography.fernet import Fernet

from messenger.apps.auth.context import AuthContext
from messenger.apps.messages.history import History
from messenger.apps.messages.sending import Sender
from messenger.db.connection import ConnectionSet
from messenger.db.database import Database
from messenger.db.private.cluster import PrivatePostgres
from messenger.identity import Caller
from messenger.log.log import Log
from messenger.log.store import append
from messenger.run.checks import check_database, check_schema
from messenger.settings import Config, read

BY_HAND = Caller(address="messenger-admin", request_id="")  # the origin in the audit


def read_settings() -> Config:
    return read(os.environ, dotenv=Path(".env"))


def run_with_database(work: Callable[[Config, str], Awaitable[int]], *, needs_schema: bool = True) -> int:
    """Runs work on a database that is there and has this version's schema; returns its exit code."""
    config = read_settings()
    with database_url(config) as dsn:
        check_database(config, dsn)
        if needs_schema:
            check_schema(config, dsn)

        async def run() -> int:
            return await work(config, dsn)

        return asyncio.run(run())


@contextmanager
def database_url(config: Config) -> Iterator[str]:
    """Never of a pooler: locks and snapshots must stay with one connection."""
    if config.database.is_private:
        with PrivatePostgres.lease(config.data_dir, bin_dir=config.database.bin_dir) as private:
            yield private.url
    else:
        yield str(config.database.direct_url) or config.database.dsn()


@asynccontextmanager
async def open_database(dsn: str) -> AsyncIterator[Database]:
    db = Database(dsn, append=append, pool_size=2)
    try:
        yield db
    finally:
        await db.close()


@asynccontextmanager
async def open_auth(
    config: Config, db: Database, *, password_min_length: int | None = None
) -> AsyncIterator[AuthContext]:
    """Commands open no sessions, so they need none of the installation's keys: a random one signs nothing."""
    rules = (
        config.auth if password_min_length is None else replace(config.auth, password_min_length=password_min_length)
    )
    auth = AuthContext.prepare(rules, db, [Fernet.generate_key().decode()])
    try:
        yield auth
    finally:
        auth.passwords.close()


@asynccontextmanager
async def open_sender(config: Config, dsn: str) -> AsyncIterator[Sender]:
    """Sends as the server does. Servers find the messages by their poll, four times a second."""
    stream = Log(dsn, wire="none", redis_url="", retention_days=config.log_retention_days)
    lines = ConnectionSet(dsn, 1)
    sender = Sender(dsn, stream, History(lines, stream, None).current, config.operation_id_window)
    await sender.start()
    try:
        yield sender
    finally:
        await sender.stop()
        lines.close()
