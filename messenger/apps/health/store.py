"""The smallest statement there is."""

from messenger.db.engine import Transaction
from messenger.db.sql import text


async def one(tx: Transaction) -> int:
    return int((await tx.session.execute(text("select 1"))).scalar_one())
