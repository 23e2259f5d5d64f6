"""The audit's one statement."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Text, column, func, insert, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from messenger.apps.auth.tables import Audit
from messenger.apps.auth.values import AuditEntry
from messenger.db.database import Transaction

TYPES: dict[str, type[BigInteger] | type[Text]] = {
    "event": Text,
    "user_id": BigInteger,
    "session_id": BigInteger,
    "address": Text,
    "request_id": Text,
    "detail": Text,
    "chat_id": BigInteger,
    "subject_id": BigInteger,
}


async def write(tx: Transaction, entries: Sequence[AuditEntry]) -> None:
    """In their order, which their ids keep."""
    arrays: list[Any] = [literal([getattr(one, name) for one in entries], ARRAY(kind)) for name, kind in TYPES.items()]
    columns: list[Any] = [column(name, kind) for name, kind in TYPES.items()]
    rows = func.unnest(*arrays).table_valued(*columns, with_ordinality="n").render_derived()
    chosen = select(*(rows.c[name] for name in TYPES)).order_by(rows.c.n)
    await tx.session.execute(insert(Audit).from_select(list(TYPES), chosen))
