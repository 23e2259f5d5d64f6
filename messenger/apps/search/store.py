"""The statements about the index and about tasks: one function, one statement."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import text

from messenger.apps.search.schemas import Found, Wanted
from messenger.apps.search.words import Question
from messenger.db.engine import Transaction

# Ranked are the newest of what fits; nobody reads further, and a rank means opening the document.
MOST_RANKED = 1000

ASKED = (
    "(websearch_to_tsquery('russian', cast(:websearch as text))"
    " || websearch_to_tsquery('english', cast(:websearch as text)))"
)
# Nothing but words that say nothing by themselves, or nothing but exclusions: that would be everything there is.
ASKS = "querytree(websearch_to_tsquery('russian', cast(:websearch as text))) not in ('', 'T')"
MINE = "members m join chats c on c.id = m.chat_id and c.deleted_at is null and m.user_id = :asker"
ALL = "chats c"  # on a test rig without sign-in, where everybody may read everything
OF_A_CHAT = "c.deleted_at is null"


async def plan_anew(tx: Transaction) -> None:
    """How often a word is said decides how it is best looked for; a plan made for any word would be good for none."""
    await tx.session.execute(text("set local plan_cache_mode = force_custom_plan"))


async def find(tx: Transaction, asker: int | None, question: Question, wanted: Wanted) -> list[Found]:
    """In the chats that the asker is in at this moment; None: in all of them."""
    matches, given = _matches(question)
    filters, more = _filters(wanted)
    given |= more
    given |= {"limit": wanted.limit}
    if asker is not None:
        given |= {"asker": asker}
    rank = f"ts_rank(d.ts, {ASKED})" if wanted.order == "rank" else "0::real"
    documents = f"""
        select d.message_id, d.chat_id, {rank} as rank
          from {MINE if asker is not None else ALL} join search_documents d on d.chat_id = c.id
         where {OF_A_CHAT} and {ASKS} and {matches} {filters}
         order by d.message_id desc"""
    if wanted.order == "recent":
        statement = f"{documents} limit :limit"
    else:
        after = ""
        if wanted.start is not None:
            after = "where (x.rank, x.message_id) < (cast(:rank as real), cast(:before as bigint))"
            given |= {"rank": wanted.start.rank, "before": wanted.start.message_id}
        statement = f"""select * from ({documents} limit {MOST_RANKED}) x {after}
            order by x.rank desc, x.message_id desc limit :limit"""
    rows = await tx.session.execute(text(statement), given)
    return [Found(row.message_id, row.chat_id, row.rank) for row in rows]


def _matches(question: Question) -> tuple[str, dict[str, Any]]:
    """Words in any form, or parts of words."""
    given: dict[str, Any] = {"websearch": question.websearch}
    ways = [f"d.ts @@ {ASKED}"]
    if question.literals:
        ways[0] += " and d.text like all(cast(:literals as text[]))"
        given["literals"] = question.literals
    if question.pieces:
        longest, *others = question.pieces
        part = "d.text like cast(:longest as text)"
        given["longest"] = longest
        if others:
            part += " and d.text like all(cast(:others as text[]))"
            given["others"] = others
        if question.excluded:
            part += (
                " and not d.text like any(cast(:excluded as text[]))"
                " and not d.ts @@ (websearch_to_tsquery('russian', cast(:without as text))"
                " || websearch_to_tsquery('english', cast(:without as text)))"
            )
            given["excluded"] = [term.pattern for term in question.excluded]
            given["without"] = question.without
        ways.append(part)
    return "(" + " or ".join(f"({way})" for way in ways) + ")", given


def _filters(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    conditions: Mapping[str, tuple[str, Any]] = {
        "chat": ("d.chat_id = cast(:chat as bigint)", wanted.chat_id),
        "sender": ("d.sender_id = cast(:sender as bigint)", wanted.sender_id),
        "since": ("d.sent_at >= cast(:since as timestamptz)", wanted.since),
        "until": ("d.sent_at < cast(:until as timestamptz)", wanted.until),
    }
    if wanted.start is not None and wanted.order == "recent":
        conditions = {**conditions, "before": ("d.message_id < cast(:before as bigint)", wanted.start.message_id)}
    given = {name: value for name, (_, value) in conditions.items() if value is not None}
    return "".join(f" and {conditions[name][0]}" for name in given), given


async def find_open(tx: Transaction, asker: int | None, chats: Collection[int]) -> set[int]:
    """Which of these chats the asker may read now."""
    rows = await tx.session.execute(
        text(
            "select c.id from chats c where c.id = any(cast(:chats as bigint[])) and c.deleted_at is null"
            " and (cast(:asker as bigint) is null"
            " or exists(select from members m where m.chat_id = c.id and m.user_id = :asker))"
        ),
        {"chats": list(chats), "asker": asker},
    )
    return set(rows.scalars())


async def find_lexemes(tx: Transaction, words: Sequence[str]) -> dict[str, frozenset[str]]:
    """What the words are reduced to, each by both languages; a word that says nothing is reduced to nothing."""
    rows = await tx.session.execute(
        text(
            "select w, ts_lexize('russian_stem', w) || ts_lexize('english_stem', w) as forms"
            " from unnest(cast(:words as text[])) w"
        ),
        {"words": list(words)},
    )
    return {row.w: frozenset(row.forms or ()) for row in rows}
