"""What all changes of chats and members share: people who must exist, news with counts, and what all have read."""

from collections.abc import Sequence
from dataclasses import replace

from messenger.apps.chats import store
from messenger.db.database import Transaction
from messenger.db.news import News
from messenger.errors import UserNotFound
from messenger.identity import UserId


async def require_people(tx: Transaction, people: Sequence[UserId]) -> dict[UserId, str]:
    """All of them exist, and none of their accounts can be deleted until the commit. Returns their names."""
    found = await store.hold_people(tx, people) if people else {}
    if len(found) < len(people):
        missing = next(one for one in people if one not in found)
        raise UserNotFound(f"There is no user {missing}.")
    return found


async def announce(tx: Transaction, chat_id: int, creator: UserId | None, others: Sequence[UserId]) -> None:
    """The members come first: a listener must be admitted to the chat before it hears of it."""
    people = others if creator is None else [creator, *others]
    added = [News("member_added", chat_id, user_id=one, actor_id=creator) for one in people]
    await emit_with_counts(tx, *added, News("chat_created", chat_id, actor_id=creator))
    await recount(tx, [chat_id])


async def emit_with_counts(tx: Transaction, *news: News) -> None:
    """News of chats, with the counts as they are after all changes of this transaction.

    If they were counted when the event is rendered, processes and replays would show different numbers.
    """
    numbers = await store.count_now(tx, {one.chat_id for one in news if one.chat_id is not None})
    tx.emit(*(replace(one, data=numbers[one.chat_id]) for one in news if one.chat_id is not None))


async def recount(tx: Transaction, chats: Sequence[int]) -> None:
    """After members came or left: messages that all present members have now read are announced, once."""
    for run in await store.refloor(tx, chats):
        data = {"from_seq": run.from_seq, "to_seq": run.to_seq, "message_id": run.message_id}
        tx.emit(News("message_read_by_all", run.chat_id, data=data))
