"""Records events for the audit. They are written at once, at the end of their transaction."""

from messenger.apps.auth.store import audit as store
from messenger.apps.auth.values import AuditEntry, AuditEvent
from messenger.db.database import Transaction
from messenger.identity import Caller, SessionId, UserId


def record(
    tx: Transaction,
    event: AuditEvent,
    caller: Caller,
    *,
    user_id: UserId | None = None,
    session_id: SessionId | None = None,
    detail: str = "",
    chat_id: int | None = None,
    subject_id: UserId | None = None,
) -> None:
    entry = AuditEntry(event, caller.address, caller.request_id, user_id, session_id, detail, chat_id, subject_id)
    tx.at_the_end(store.write, entry)
