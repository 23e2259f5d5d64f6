"""Searching at once: messages of the asker's chats that match a question, as they are now.

Without an identity (`me` is None) this is reached only on a test rig without sign-in, where every chat is open to all.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from messenger.apps.search.index import Index
from messenger.apps.search.schemas import Hit, HitPage, Match, Matches, PageEnd, Result, SearchRequest
from messenger.apps.search.store import searching as store
from messenger.apps.search.words import Question, Text, highlights
from messenger.db.database import Database, Transaction
from messenger.identity import Identity

if TYPE_CHECKING:
    from messenger.apps.messages.schemas import CurrentMessage

    LookUp = Callable[[Collection[int]], Awaitable[Mapping[int, CurrentMessage]]]  # messages as they are now


@dataclass(frozen=True, slots=True)
class MarkedMessage:
    shown: "CurrentMessage"
    spans: list[tuple[int, int]]  # where in it the question stands


async def search(db: Database, index: Index, show: "LookUp", me: Identity | None, request: SearchRequest) -> HitPage:
    asker = reader_id(me)
    question = Question.typed(request.q)
    matches = await find(db, index, asker, question, replace(request, limit=request.limit + 1))
    found = matches.documents or []
    page = found[: request.limit]
    async with db.reading() as tx:
        marked = await mark(tx, show, asker, question, page)
    hits = [
        Hit(one.shown.for_sender if me and one.shown.sender_id == me.user_id else one.shown.message, one.spans)
        for one in marked
    ]
    end = PageEnd(page[-1].rank, page[-1].message_id) if len(found) > len(page) else None
    return HitPage(hits, end, matches.is_complete)


def reader_id(me: Identity | None) -> int | None:
    """The person whose chats are searched; None: all chats."""
    return None if me is None or me.reads_all else me.user_id


async def find(
    db: Database,
    index: Index,
    asker: int | None,
    question: Question,
    request: SearchRequest,
    *,
    needed: int | None = None,
) -> Matches:
    """Newest or best first, after the index has come to the head of the log. `needed`: it was waited for already."""
    async with db.reading() as tx:
        matches = await store.find(tx, asker, question, request, needed=needed)
    if matches.documents is not None:
        return matches
    await index.reach(matches.head)
    async with db.reading() as tx:
        return await store.find(tx, asker, question, request, needed=matches.head)


async def mark(
    tx: Transaction, show: "LookUp", asker: int | None, question: Question, found: Collection[Match | Result]
) -> list[MarkedMessage]:
    """What was found, as it is now. Whether the asker may read it is asked after the texts were read."""
    if not found:
        return []
    shown = await show([one.message_id for one in found])
    there = [shown[one.message_id] for one in found if one.message_id in shown]
    texts = {one.message.id: Text.of(one.message.text) for one in there}
    words = _related_words(question, texts.values())
    open_chats, lexemes = await store.show(tx, asker, {one.chat_id for one in there}, words)
    return [
        MarkedMessage(one, highlights(question, texts[one.message.id], lexemes))
        for one in there
        if one.chat_id in open_chats and not one.message.deleted
    ]


def _related_words(question: Question, texts: Collection[Text]) -> list[str]:
    """Words that may be forms of those in the question: a word is reduced from its end, so its forms begin alike."""
    initials = {word[0] for word in question.words}
    related = {text.folded[start:end] for text in texts for start, end in text.words if text.folded[start] in initials}
    return sorted(related | question.words)
