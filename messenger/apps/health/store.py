"""What only a server that leads can say."""

from messenger.db.database import Transaction
from messenger.db.statements import text


async def is_standby(tx: Transaction) -> bool:
    return bool((await tx.session.execute(text("select pg_is_in_recovery()"))).scalar_one())
