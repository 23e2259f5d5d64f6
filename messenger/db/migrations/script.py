"""Migrations written as SQL: several statements at once, which a prepared statement cannot hold."""

from alembic import context, op


def run(script: str) -> None:
    if context.is_offline_mode():
        op.execute(script)
        return
    op.get_bind().connection.dbapi_connection.run_async(lambda connection: connection.execute(script))  # type: ignore[union-attr]
