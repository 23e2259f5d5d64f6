"""What every change of chats and their members has in common: people held, members told, the audit and the counts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from messenger.apps.auth import service as accounts
from messenger.apps.chats import store
from messenger.db.database import Transaction
from messenger.db.news import News
from messenger.errors import UserNotFound
from messenger.identity import Caller, Identity, UserId


async def require_people(tx: Transaction, people: Sequence[UserId]) -> dict[UserId, str]:
    """All of them are there, and stay until the commit; answers their names."""
    found = await store.hold_people(tx, people) if people else {}
    if len(found) < len(people):
        missing = next(one for one in people if one not in found)
        raise UserNotFound(f"There is no user {missing}.")
    return found


async def announce(tx: Transaction, chat_id: int, creator: UserId | None, others: Sequence[UserId]) -> None:
    """Who is in it comes first: a listener is admitted to the chat before anything of it is told."""
    people = others if creator is None else [creator, *others]
    added = [News("member_added", chat_id, user_id=one, actor_id=creator) for one in people]
    await emit_with_counts(tx, *added, News("chat_created", chat_id, actor_id=creator))
    await recount(tx, [chat_id])


async def emit_with_counts(tx: Transaction, *news: News) -> None:
    """News of chats with the numbers that hold at its position, after all that this transaction does to them.

    Counted when it is shown instead, they would differ from process to process, and from a replay.
    """
    numbers = await store.count_now(tx, {one.chat_id for one in news if one.chat_id is not None})
    tx.emit(*(replace(one, data=numbers[one.chat_id]) for one in news if one.chat_id is not None))


def record(
    tx: Transaction,
    what: Literal["member_added", "member_removed", "role_changed"],
    chat_id: int,
    people: Mapping[UserId, str],
    me: Identity | None,
    caller: Caller,
) -> None:
    """For the audit: who did it, to which people, and their role or the change of it."""
    accounts.record_membership(tx, what, chat_id, people, me, caller)


async def recount(tx: Transaction, chats: Sequence[int]) -> None:
    """After a change of who is in them: what those who are there now have all read is told once."""
    for run in await store.refloor(tx, chats):
        data = {"from_seq": run.from_seq, "to_seq": run.to_seq, "message_id": run.message_id}
        tx.emit(News("message_read_by_all", run.chat_id, data=data))
