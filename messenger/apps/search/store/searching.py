"""The statements of a search: one function, one statement."""

from collections.abc import Collection, Sequence

from messenger.apps.search.schemas import Match, Matches, SearchRequest
from messenger.apps.search.words import Question
from messenger.db.database import Transaction
from messenger.db.statements import text
from messenger.errors import ChatNotFound

OFTEN = 3  # times among the newest documents: see search_find
FIND = """
    select * from search_find(
        :asker, :terms, :choices, :exclusions, :is_ranked, :most, :often,
        :chats, :chat, :sender, :since, :until, cast(:after_rank as real), :before, :needed)
"""


async def find(
    tx: Transaction, asker: int | None, question: Question, request: SearchRequest, *, needed: int | None = None
) -> Matches:
    """In the chats that the asker is in at this moment; None: in all of them.

    `needed`: how far the index must have come for the answer to be complete. None: to the head of the log, and nothing
    is looked for before.
    """
    given = {
        "asker": asker,
        "terms": [term.typed for term in question.terms],
        "choices": [term.choice for term in question.terms],
        "exclusions": [term.is_excluded for term in question.terms],
        "is_ranked": request.order == "rank",
        "most": request.limit,
        "often": OFTEN,
        "chats": request.chats,
        "chat": request.chat_id,
        "sender": request.sender_id,
        "since": request.since,
        "until": request.until,
        "after_rank": request.after and request.after.rank,
        "before": request.after and request.after.message_id,
        "needed": needed,
    }
    row = (await tx.session.execute(text(FIND), given)).one()
    if not row.is_open:
        raise ChatNotFound
    if row.messages is None:
        return Matches(None, row.head, is_complete=False)
    documents = [Match(*one) for one in zip(row.messages, row.places, row.ranks, strict=True)]
    return Matches(documents, row.head, row.is_complete)


async def show(
    tx: Transaction, asker: int | None, chats: Collection[int], words: Sequence[str]
) -> tuple[set[int], dict[str, frozenset[str]]]:
    """Which of these chats the asker may read now; and what the words are reduced to, by both languages: a word that
    says nothing to nothing."""
    given = {"asker": asker, "chats": list(chats), "words": words}
    row = (await tx.session.execute(text("select * from search_show(:asker, :chats, :words)"), given)).one()
    return set(row.open), {word: frozenset(forms.split()) for word, forms in zip(words, row.forms, strict=True)}


async def find_chats(tx: Transaction, asker: int) -> list[int]:
    """Those the asker is in, in which anything was said; latest first."""
    rows = await tx.session.execute(
        text(
            "select c.id from members m join chats c on c.id = m.chat_id and c.deleted_at is null and c.head_id > 0"
            " where m.user_id = :asker order by c.head_id desc"
        ),
        {"asker": asker},
    )
    return list(rows.scalars())
