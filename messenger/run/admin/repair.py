"""Repairs what fsck found, if it can be derived from the rest. Clients that have the chat open are told."""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from messenger.apps.auth import sessions
from messenger.apps.auth.context import AuthContext
from messenger.apps.auth.values import SessionFilter
from messenger.apps.chats.changes import emit_with_counts
from messenger.apps.search.rebuild import mend, mend_words
from messenger.db.database import Database
from messenger.db.news import News
from messenger.identity import UserId
from messenger.run.admin import repair_store as store
from messenger.run.admin.context import BY_HAND
from messenger.run.admin.damage import DamageKind, Repair

AT_ONCE = 50  # chats locked at once: few, so that nobody waits long

Id = TypeVar("Id", int, str)
Rows = Sequence[Mapping[str, Any]]


async def repair(auth: AuthContext, found: Mapping[DamageKind, Rows], *, nothing_lost: bool) -> None:
    """`nothing_lost`: no message is missing, so counts may also become smaller."""
    of: dict[Repair, list[Mapping[str, Any]]] = {}
    for kind, rows in found.items():
        if kind.repair is not None:
            of.setdefault(kind.repair, []).extend(rows)
    db = auth.db
    for chats in _batches({row["chat_id"] for row in of.get("chats", ())}):
        await _recount(db, chats, may_lower=nothing_lost)
    if "followers" in of:
        async with db.transaction() as tx:
            await store.bring_followers_back(tx)
    for messages in _batches({row["message_id"] for row in of.get("search", ())}):
        await mend(db, messages)
    for words in _batches({row["word"] for row in of.get("words", ())}):
        await mend_words(db, words)
    for messages in _batches({row["message_id"] for row in of.get("reactions", ())}):
        async with db.transaction() as tx:
            await store.drop_reactions(tx, messages)
    if "traces" in of:
        pairs = [(row["chat_id"], row["user_id"]) for row in of["traces"]]
        async with db.transaction() as tx:
            await store.leave_traces(tx, *zip(*pairs, strict=True))
    for person in sorted({row["user_id"] for row in of.get("sessions", ())}):
        async with db.transaction() as tx:
            await sessions.end(tx, UserId(person), SessionFilter(), BY_HAND, why="the account was deleted")


async def _recount(db: Database, chats: Sequence[int], *, may_lower: bool) -> None:
    """Recounts all numbers of these chats, in the order in which they depend on each other."""
    async with db.transaction() as tx:
        await store.lock_chats(tx, chats)
        await store.recount_heads(tx, chats, may_lower=may_lower)
        await store.recount_markers(tx, chats)
        await store.recount_floors(tx, chats)
        # Processes forget what they remember of the chats, and clients that have one open load it again.
        await emit_with_counts(tx, *(News("chat_changed", chat_id) for chat_id in await store.find_living(tx, chats)))


def _batches(ids: Collection[Id]) -> list[list[Id]]:
    rest = iter(sorted(ids))
    return list(iter(lambda: list(islice(rest, AT_ONCE)), []))
