"""The statements about the index and about tasks: one function, one statement."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from messenger.apps.search.schemas import Found, Result, Stretch, Task, Wanted, Work
from messenger.apps.search.words import Question
from messenger.db.engine import Transaction
from messenger.db.sql import text

# Ranked are the newest of what fits; nobody reads further, and a rank means opening the document.
MOST_RANKED = 1000
# Documents read to see how often something is said, a millisecond or two; and how often is often. Three of 2000: the
# next twenty are some 14,000 documents away, about as much work as finding all that say it through the index.
LATELY, OFTEN = 2000, 3

# Its configuration for Russian reduces English words too.
ASKED = "websearch_to_tsquery('russian', cast(:websearch as text))"
# Nothing but words that say nothing by themselves, or nothing but exclusions: that would be everything there is.
ASKS = f"querytree({ASKED}) not in ('', 'T')"
MINE = "members m join chats c on c.id = m.chat_id and c.deleted_at is null and m.user_id = :asker"
ALL = "chats c"  # on a test rig without sign-in, where everybody may read everything
OF_A_CHAT = "c.deleted_at is null"


PLANNING = (
    "select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('random_page_cost', '1.1', true)"
)


async def plan_anew(tx: Transaction) -> None:
    """How often a word is said decides how it is best looked for; a plan made for any word would be good for none. And
    the default price of a page out of turn is that of a turning disk."""
    await tx.session.execute(text(PLANNING))


async def is_often_said(tx: Transaction, asker: int | None, question: Question, wanted: Wanted) -> bool:
    """Among the newest there are, or the next after an earlier page, does this asker find it again and again?"""
    older = "" if wanted.before is None else "where message_id < cast(:before as bigint)"
    newest = f"(select * from search_documents {older} order by message_id desc limit {LATELY})"
    answers, given = _answers(asker, question, wanted, newest)
    rows = await tx.session.execute(text(f"select count(*) from (select {answers} limit {OFTEN}) x"), given)
    return bool(rows.scalar_one() == OFTEN)


async def find(
    tx: Transaction, asker: int | None, question: Question, wanted: Wanted, *, is_often: bool
) -> list[Found]:
    """In the chats that the asker is in at this moment; None: in all of them. `is_often`: it may be worth reading from
    the newest on until there is enough. PostgreSQL guesses that from a hundred texts, and one of them that happens
    to hold a rare word would have everything read for it."""
    answers, given = _answers(asker, question, wanted, "search_documents")
    given["limit"] = wanted.limit
    rank = f"ts_rank(d.ts, {ASKED})" if wanted.order == "rank" else "0::real"
    newest_first = "d.message_id desc" if is_often else "d.message_id + 0 desc"  # no index is in that order
    documents = f"select d.message_id, d.chat_id, {rank} as rank {answers} order by {newest_first}"
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


def _answers(asker: int | None, question: Question, wanted: Wanted, documents: str) -> tuple[str, dict[str, Any]]:
    """Those of the documents that answer, as far as this asker may know."""
    matches, given = _matches(question)
    filters, more = _filters(wanted)
    given |= more
    if asker is not None:
        given["asker"] = asker
    chats = MINE if asker is not None else ALL
    return (
        f"from {chats} join {documents} d on d.chat_id = c.id where {OF_A_CHAT} and {ASKS} and {matches} {filters}",
        given,
    )


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
                " and not d.ts @@ websearch_to_tsquery('russian', cast(:without as text))"
            )
            given["excluded"] = [term.pattern for term in question.excluded]
            given["without"] = question.without
        ways.append(part)
    return "(" + " or ".join(f"({way})" for way in ways) + ")", given


def _filters(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    conditions: Mapping[str, tuple[str, Any]] = {
        "chats": ("d.chat_id = any(cast(:chats as bigint[]))", wanted.chats),
        "chat": ("d.chat_id = cast(:chat as bigint)", wanted.chat_id),
        "sender": ("d.sender_id = cast(:sender as bigint)", wanted.sender_id),
        "since": ("d.sent_at >= cast(:since as timestamptz)", wanted.since),
        "until": ("d.sent_at < cast(:until as timestamptz)", wanted.until),
        "before": ("d.message_id < cast(:before as bigint)", wanted.before),
    }
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


# --- the index made anew, in stretches of messages. What the follower does by its own function stays with that.

FOLLOWER_LOCK = 7236840  # the same that search_follow takes
REBUILDING = "search rebuild"


async def keep_others_out(tx: Transaction) -> None:
    """In a statement of its own: what the next ones see is younger than whatever the follower wrote."""
    await tx.session.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": FOLLOWER_LOCK})


async def find_stretch(tx: Transaction, most: int) -> Stretch:
    """The next messages to be looked at, after where an earlier run came to."""
    statement = text(
        """
        select b.after, (select max(x.id) from (select g.id from messages g where g.id > b.after
                                                 order by g.id limit :most) x) as upto,
               (select position from log_head order by position desc limit 1) as head
          from (select coalesce(max(f.position), 0) as after from log_followers f where f.name = :name) b
        """
    )
    row = (await tx.session.execute(statement, {"name": REBUILDING, "most": most})).one()
    return Stretch(row.after, row.upto, row.head)


async def note_stretch(tx: Transaction, upto: int | None) -> None:
    """Everything up to there is right. None: all of it is, and the next run begins anew."""
    statement = text(
        """
        with gone as (delete from log_followers where name = :name and cast(:upto as bigint) is null)
        insert into log_followers (name, position) select :name, :upto where cast(:upto as bigint) is not null
            on conflict (name) do update set position = excluded.position, at = clock_timestamp()
        """
    )
    await tx.session.execute(statement, {"name": REBUILDING, "upto": upto})


async def index_range(tx: Transaction, after: int, upto: int) -> None:
    statement = text(
        """
        insert into search_documents as d (message_id, chat_id, sender_id, seq, sent_at, text, ts)
        select g.id, g.chat_id, g.sender_id, g.seq, g.sent_at, f.folded, search_words(f.folded)
          from messages g cross join lateral search_fold(coalesce(g.text, '')) as f(folded)
         where g.id > :after and g.id <= :upto and g.deleted_at is null
            on conflict (message_id, chat_id) do update
           set sender_id = excluded.sender_id, seq = excluded.seq, sent_at = excluded.sent_at,
               text = excluded.text, ts = excluded.ts
         where (d.sender_id, d.seq, d.sent_at, d.text, d.ts)
               is distinct from (excluded.sender_id, excluded.seq, excluded.sent_at, excluded.text, excluded.ts)
        """
    )
    await tx.session.execute(statement, {"after": after, "upto": upto})


async def unindex_range(tx: Transaction, after: int, upto: int) -> None:
    """What belongs to no message that is there."""
    statement = text(
        """
        delete from search_documents d
         where d.message_id > :after and d.message_id <= :upto
           and not exists (select from messages g where g.id = d.message_id and g.chat_id = d.chat_id
                                                    and g.deleted_at is null)
        """
    )
    await tx.session.execute(statement, {"after": after, "upto": upto})


async def sort_in(tx: Transaction) -> None:
    """Else every question would read the unsorted rest word by word."""
    for index in ("search_documents_ts_idx", "search_documents_text_idx"):
        await tx.session.execute(text("select gin_clean_pending_list(cast(:index as regclass))"), {"index": index})


async def follow(tx: Transaction, most: int) -> bool:
    """A turn of the follower. Is there more, and nobody else who sees to it?"""
    row = (await tx.session.execute(text("select upto, head from search_follow(:most)"), {"most": most})).one()
    return row.upto is not None and row.upto < row.head


# --- tasks. Their clock is the database's, the same for all who work on them.

TASK = "id, status, progress, text, attempts"


async def wait_for_turn(tx: Transaction, asker: int) -> None:
    """Who else counts the tasks of this person waits until this transaction has ended."""
    await tx.session.execute(
        text("select pg_advisory_xact_lock(hashtextextended('search ' || cast(:asker as text), 0))"),
        {"asker": str(asker)},
    )


async def count_open(tx: Transaction, asker: int) -> int:
    rows = await tx.session.execute(
        text("select count(*) from search_tasks where asker_id = :asker and status in ('WAITING', 'IN_PROCESS')"),
        {"asker": asker},
    )
    return int(rows.scalar_one())


async def add_task(tx: Transaction, asker: int | None, words: str, lifetime: float) -> int:
    row = await tx.session.execute(
        text(
            "insert into search_tasks (asker_id, text, expires_at)"
            " values (:asker, :words, clock_timestamp() + make_interval(secs => :lifetime)) returning id"
        ),
        {"asker": asker, "words": words, "lifetime": lifetime},
    )
    return int(row.scalar_one())


async def find_task(tx: Transaction, asker: int | None, task_id: int) -> Task | None:
    row = (
        await tx.session.execute(
            text(
                f"select {TASK} from search_tasks where id = :id"
                " and asker_id is not distinct from cast(:asker as bigint) and expires_at > clock_timestamp()"
            ),
            {"id": task_id, "asker": asker},
        )
    ).one_or_none()
    return _task(row) if row else None


def _task(row: Any) -> Task:
    return Task(row.id, row.status, row.progress, row.text, row.attempts)


async def is_anything_open(tx: Transaction) -> bool:
    statement = text("select exists(select from search_tasks where status in ('WAITING', 'IN_PROCESS'))")
    return bool((await tx.session.execute(statement)).scalar_one())


async def is_open(tx: Transaction, task_id: int) -> bool:
    statement = text("select exists(select from search_tasks where id = :id and status in ('WAITING', 'IN_PROCESS'))")
    return bool((await tx.session.execute(statement, {"id": task_id})).scalar_one())


# What waits for long enough, and what was held by somebody who has died.
UNHELD = (
    "(o.status = 'WAITING' and o.created_at <= clock_timestamp() - make_interval(secs => :delay)"
    " or o.status = 'IN_PROCESS' and o.lease_until < clock_timestamp())"
)


async def claim(
    tx: Transaction, delay: float, lease: float, most_attempts: int, task_id: int | None = None
) -> Work | None:
    """This one or the oldest that nobody holds. Whoever else is choosing takes another one."""
    row = (
        await tx.session.execute(
            text(
                f"""
                update search_tasks t
                   set status = 'IN_PROCESS', attempts = attempts + 1, progress = 0,
                       lease_until = clock_timestamp() + make_interval(secs => :lease)
                 where t.id = (
                       select o.id from search_tasks o
                        where o.attempts < :most and {UNHELD}
                          {"" if task_id is None else "and o.id = :task"}
                        order by o.id limit 1 for update skip locked)
                returning t.id, t.asker_id, t.text, t.attempts
                """
            ),
            {"delay": delay, "lease": lease, "most": most_attempts} | ({} if task_id is None else {"task": task_id}),
        )
    ).one_or_none()
    return Work(row.id, row.asker_id, row.text, row.attempts) if row else None


async def hand_over(tx: Transaction, delay: float, lease: float, most_attempts: int, limit: int) -> list[int]:
    """Tasks that nobody holds, neither a worker nor the broker: from now on the broker does, for a while."""
    rows = await tx.session.execute(
        text(
            f"""
            update search_tasks t
               set status = 'WAITING', progress = 0,
                   lease_until = clock_timestamp() + make_interval(secs => :lease)
             where t.id in (
                   select o.id from search_tasks o
                    where o.attempts < :most and {UNHELD}
                      and (o.lease_until is null or o.lease_until < clock_timestamp())
                    order by o.id limit :limit for update skip locked)
            returning t.id
            """
        ),
        {"delay": delay, "lease": lease, "most": most_attempts, "limit": limit},
    )
    return list(rows.scalars())


async def take_back(tx: Transaction, task_ids: Sequence[int]) -> None:
    """The broker did not get them."""
    await tx.session.execute(
        text(
            "update search_tasks set lease_until = null where id = any(cast(:ids as bigint[])) and status = 'WAITING'"
        ),
        {"ids": list(task_ids)},
    )


async def give_up(tx: Transaction, task_id: int) -> tuple[int, int | None] | None:
    """Failed, unless somebody is alive who works on it: the task and its asker."""
    row = (
        await tx.session.execute(
            text(
                "update search_tasks set status = 'FAILED', lease_until = null where id = :id"
                " and (status = 'WAITING' or status = 'IN_PROCESS' and lease_until < clock_timestamp())"
                " returning id, asker_id"
            ),
            {"id": task_id},
        )
    ).one_or_none()
    return (row.id, row.asker_id) if row else None


async def fail_hopeless(tx: Transaction, most_attempts: int, deadline: float) -> list[tuple[int, int | None]]:
    """Tried too often, or too late for anybody: the tasks and their askers."""
    rows = await tx.session.execute(
        text(
            """
            update search_tasks set status = 'FAILED', lease_until = null
             where id in (select o.id from search_tasks o
                           where o.status in ('WAITING', 'IN_PROCESS')
                             and (o.created_at < clock_timestamp() - make_interval(secs => :deadline)
                                  or o.attempts >= :most and o.lease_until < clock_timestamp())
                             for update skip locked)
            returning id, asker_id
            """
        ),
        {"most": most_attempts, "deadline": deadline},
    )
    return [(row.id, row.asker_id) for row in rows]


MINE_TO_DO = "id = :id and attempts = :attempt and status = 'IN_PROCESS'"


async def renew(tx: Transaction, work: Work, lease: float) -> bool:
    """Still alive. Is it still mine?"""
    found = await tx.session.execute(
        text(
            "update search_tasks set lease_until = clock_timestamp() + make_interval(secs => :lease)"
            f" where {MINE_TO_DO} returning id"
        ),
        {"id": work.task_id, "attempt": work.attempt, "lease": lease},
    )
    return found.first() is not None


async def advance(tx: Transaction, work: Work, progress: int) -> bool:
    found = await tx.session.execute(
        text(f"update search_tasks set progress = :progress where {MINE_TO_DO} returning id"),
        {"id": work.task_id, "attempt": work.attempt, "progress": progress},
    )
    return found.first() is not None


async def finish(tx: Transaction, work: Work, hits: int) -> bool:
    found = await tx.session.execute(
        text(
            "update search_tasks set status = 'SUCCESS', progress = 100, hits = :hits, lease_until = null"
            f" where {MINE_TO_DO} returning id"
        ),
        {"id": work.task_id, "attempt": work.attempt, "hits": hits},
    )
    return found.first() is not None


async def give_back(tx: Transaction, work: Work, pause: float) -> None:
    """This try has failed; another one may follow after a pause."""
    await tx.session.execute(
        text(
            "update search_tasks set lease_until = clock_timestamp() + make_interval(secs => :pause)"
            f" where {MINE_TO_DO}"
        ),
        {"id": work.task_id, "attempt": work.attempt, "pause": pause},
    )


async def put_back(tx: Transaction, work: Work) -> None:
    """As if nobody had taken it up."""
    await tx.session.execute(
        text(
            "update search_tasks set status = 'WAITING', progress = 0, attempts = attempts - 1, lease_until = null"
            f" where {MINE_TO_DO}"
        ),
        {"id": work.task_id, "attempt": work.attempt},
    )


async def forget_tasks(tx: Transaction, asker: int) -> list[Task]:
    rows = await tx.session.execute(
        text(f"delete from search_tasks where asker_id = :asker returning {TASK}"), {"asker": asker}
    )
    return [_task(row) for row in rows]


async def forget_expired(tx: Transaction) -> list[Task]:
    rows = await tx.session.execute(
        text(f"delete from search_tasks where expires_at < clock_timestamp() returning {TASK}")
    )
    return [_task(row) for row in rows]


async def fail(tx: Transaction, task_id: int) -> None:
    await tx.session.execute(text("update search_tasks set status = 'FAILED' where id = :id"), {"id": task_id})


# --- what tasks found, until it is fetched. The row of the task says how much that is.


async def lock_results(tx: Transaction, task_id: int) -> int:
    """How much is to be fetched yet; nobody else counts until the transaction ends."""
    rows = await tx.session.execute(
        text("select hits from search_tasks where id = :id for no key update"), {"id": task_id}
    )
    return int(rows.scalar_one_or_none() or 0)


async def count_taken(tx: Transaction, task_id: int, taken: int) -> None:
    await tx.session.execute(
        text("update search_tasks set hits = hits - :taken where id = :id"), {"id": task_id, "taken": taken}
    )


# --- the same in a table


async def keep_results(tx: Transaction, task_id: int, found: Sequence[Found]) -> None:
    await tx.session.execute(
        text(
            "insert into search_results (task_id, place, chat_id, message_id)"
            " select :task, f.place, f.chat, f.message"
            " from unnest(cast(:chats as bigint[]), cast(:messages as bigint[]))"
            " with ordinality f(chat, message, place)"
        ),
        {
            "task": task_id,
            "chats": [one.chat_id for one in found],
            "messages": [one.message_id for one in found],
        },
    )


async def is_anything_lost(tx: Transaction, task_id: int) -> bool:
    """A crash of the database empties the table: what is not there any more is not called an empty result."""
    rows = await tx.session.execute(
        text(
            "select hits > (select count(*) from search_results where task_id = :task) from search_tasks"
            " where id = :task"
        ),
        {"task": task_id},
    )
    return bool(rows.scalar_one_or_none())


async def choose_results(tx: Transaction, task_id: int, start: int, limit: int) -> list[Result]:
    """Whoever chooses at the same time gets others."""
    rows = await tx.session.execute(
        text(
            "select place, chat_id, message_id from search_results"
            " where task_id = :task and place >= cast(:start as bigint)"
            " order by place limit :limit for update skip locked"
        ),
        {"task": task_id, "start": start, "limit": limit},
    )
    return [Result(row.place, row.chat_id, row.message_id) for row in rows]


async def take_results(tx: Transaction, task_id: int, places: Sequence[int]) -> None:
    await tx.session.execute(
        text(
            "with taken as (delete from search_results"
            " where task_id = :task and place = any(cast(:places as int[])) returning 1)"
            " update search_tasks set hits = hits - (select count(*) from taken) where id = :task"
        ),
        {"task": task_id, "places": list(places)},
    )


async def forget_results(tx: Transaction, task_ids: Sequence[int]) -> None:
    await tx.session.execute(
        text("delete from search_results where task_id = any(cast(:ids as bigint[]))"), {"ids": list(task_ids)}
    )
