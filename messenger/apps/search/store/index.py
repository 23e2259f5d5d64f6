"""The statements of a rebuilding of the index. What the follower does is a function of the schema."""

from messenger.apps.search.schemas import Stretch
from messenger.db.database import Transaction
from messenger.db.statements import text

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
