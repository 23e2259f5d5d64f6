"""Searching at once: what of the asker's chats answers a question, as it is now.

Nobody (`me` is None) comes this far only on a test rig without sign-in, where every chat is open to every reader.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from messenger.apps.chats import door
from messenger.apps.search import store
from messenger.apps.search.schemas import Found, Hit, Page, Result, Wanted
from messenger.apps.search.words import Question, Text, highlights
from messenger.db.engine import Database, Transaction
from messenger.identity import Identity

if TYPE_CHECKING:
    from messenger.apps.messages.schemas import Shown

    Show = Callable[[Collection[int]], Awaitable[Mapping[int, Shown]]]  # messages as they are now


@dataclass(frozen=True, slots=True)
class Answer:
    """A hit as it is now, and where in it the question stands."""

    shown: "Shown"
    spans: list[tuple[int, int]]


async def search(db: Database, show: "Show", me: Identity | None, wanted: Wanted) -> Page:
    asker = eyes(me)
    question = Question.typed(wanted.q)
    async with db.transaction() as tx:
        if wanted.chat_id is not None:
            await door.require_readable(tx, me, wanted.chat_id)
        if not question.wanted:
            return Page([], None)
        found = await find(tx, asker, question, replace(wanted, limit=wanted.limit + 1))
    page = found[: wanted.limit]
    async with db.reading() as tx:
        answers = await look(tx, show, asker, question, page)
    hits = [
        Hit(one.shown.for_sender if me and one.shown.sender_id == me.user_id else one.shown.message, one.spans)
        for one in answers
    ]
    return Page(hits, page[-1].place if len(found) > len(page) else None)


def eyes(me: Identity | None) -> int | None:
    """Whose chats are searched; None: all of them."""
    return None if me is None or me.reads_all else me.user_id


async def find(tx: Transaction, asker: int | None, question: Question, wanted: Wanted) -> list[Found]:
    """Newest or best first. What is said all the time is read from the end, what is not is looked up in the index."""
    await store.plan_anew(tx)
    is_often = await store.is_often_said(tx, asker, question, wanted)
    return await store.find(tx, asker, question, wanted, is_often=is_often)


async def look(
    tx: Transaction, show: "Show", asker: int | None, question: Question, found: "Collection[Found | Result]"
) -> list[Answer]:
    """What was found, as it is now. The door is asked once more after the words were read."""
    if not found:
        return []
    shown = await show([one.message_id for one in found])
    is_open = await store.find_open(tx, asker, {one.chat_id for one in found})
    left = [
        shown[one.message_id]
        for one in found
        if one.message_id in shown and one.chat_id in is_open and not shown[one.message_id].message.deleted
    ]
    return await _mark(tx, question, left)


async def _mark(tx: Transaction, question: Question, left: "list[Shown]") -> list[Answer]:
    texts = [Text.of(one.message.text) for one in left]
    # A word is reduced from its end, so what begins otherwise is no form of what was asked.
    initials = {word[0] for word in question.words}
    words = {text.folded[start:end] for text in texts for start, end in text.words if text.folded[start] in initials}
    lexemes = await store.find_lexemes(tx, sorted(words | question.words)) if words else {}
    return [Answer(one, highlights(question, text, lexemes)) for one, text in zip(left, texts, strict=True)]
