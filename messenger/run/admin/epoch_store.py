"""The statements that begin an epoch of the log by hand: one function, one statement."""

from dataclasses import dataclass

from messenger.db.database import Transaction
from messenger.db.statements import text

HEAD_LOCK = 7236837  # the same that log_take takes


@dataclass(frozen=True, slots=True)
class Head:
    position: int
    epoch: str
    epoch_began_after: int


async def take_head(tx: Transaction) -> None:
    """Nobody writes to the log until the commit; what is read next is the newest there is."""
    await tx.session.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": HEAD_LOCK})


async def get_head(tx: Transaction) -> Head:
    statement = text(
        """
        select h.position, h.epoch, coalesce((select max(e.after_position) from log_epochs e), 0) as began
          from log_head h order by h.position desc limit 1
        """
    )
    row = (await tx.session.execute(statement)).one()
    return Head(row.position, row.epoch, row.began)


async def begin_epoch(tx: Transaction, after: int) -> str:
    """As log_take does it when the server is another one, without a position of its own."""
    statement = text(
        """
        with newest as (
            update log_head set epoch = substr(md5(gen_random_uuid()::text), 1, 8), origin = log_origin()
             where position = (select max(position) from log_head) returning epoch, origin)
        insert into log_epochs (epoch, after_position, origin) select epoch, :after, origin from newest returning epoch
        """
    )
    return str((await tx.session.execute(statement, {"after": after})).scalar_one())
