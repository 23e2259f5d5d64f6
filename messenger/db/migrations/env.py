"""Alembic's way in: the tables of every sub-app, one connection, and a lock so that two starters do not race."""

import asyncio
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules

import asyncpg
from alembic import context
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

import messenger.db.tables
import messenger.log.tables  # noqa: F401  (registers the tables of the log)
from messenger import apps
from messenger.db.metadata import Table
from messenger.db.schema import CONNECTION_ATTRIBUTE, DSN_ATTRIBUTE, MIGRATION_LOCK, UnreleasedSchema, state_at

# A role may have a schema of its own name (as `messenger` has): tables must not go there.
SEARCH_PATH = "public"

for module in iter_modules(apps.__path__):
    if find_spec(f"messenger.apps.{module.name}.tables") is not None:
        import_module(f"messenger.apps.{module.name}.tables")


def migrate(connection: Connection) -> None:
    # Each step is a transaction, as locks of several tables would meet those of running servers in a circle.
    context.configure(connection=connection, target_metadata=Table.metadata, transaction_per_migration=True)
    if state_at(context.get_context().get_current_heads()).is_unreleased:
        raise UnreleasedSchema
    with context.begin_transaction():
        # It is gone with the connection, whatever happens to this process.
        connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
        context.run_migrations()


async def migrate_online() -> None:
    """Over a connection of its own."""
    dsn = context.config.attributes[DSN_ATTRIBUTE]

    async def connect(**options: object) -> asyncpg.Connection:
        return await asyncpg.connect(
            dsn, statement_cache_size=0, server_settings={"search_path": SEARCH_PATH}, **options
        )

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


def print_sql() -> None:
    context.configure(dialect_name="postgresql", target_metadata=Table.metadata, literal_binds=True)
    with context.begin_transaction():
        context.execute(f"set local search_path = {SEARCH_PATH}")
        context.run_migrations()


if context.is_offline_mode():
    print_sql()
elif CONNECTION_ATTRIBUTE in context.config.attributes:
    migrate(context.config.attributes[CONNECTION_ATTRIBUTE])  # as a part of the caller's transaction
else:
    asyncio.run(migrate_online())
