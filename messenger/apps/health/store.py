"""The smallest statement there is."""

from sqlalchemy import text

from messenger.db.engine import Transaction


async def one(tx: Transaction) -> int:
    return int((await tx.session.execute(text("select 1"))).scalar_one())
