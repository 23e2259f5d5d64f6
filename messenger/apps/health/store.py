"""Asks PostgreSQL whether it takes writes."""

from messenger.db.database import Transaction


async def is_standby(tx: Transaction) -> bool:
    return bool((await tx.run("select pg_is_in_recovery()")).scalar_one())
