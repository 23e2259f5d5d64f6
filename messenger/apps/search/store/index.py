"""The statements of a rebuilding of the index. What the follower does is a function of the schema."""

from collections.abc import Sequence

from messenger.apps.search.schemas import Stretch
from messenger.db.connection import ConnectionSet
from messenger.db.database import Transaction

FOLLOWER_LOCK = 7236840  # the same that search_follow takes
REBUILDING = "search rebuild"


async def find_lag(lines: ConnectionSet) -> tuple[int, float]:
    """The entries that the follower has still to deal with, and for how many seconds the first of them has waited."""
    statement = """
        select greatest(h.position - f.position, 0) as entries,
               coalesce(extract(epoch from clock_timestamp() - l.at), 0)::float8 as seconds
          from (select coalesce(max(position), 0) as position from log_followers where name = 'search') f
          cross join (select position from log_head order by position desc limit 1) h
          left join lateral (select g.at from log g where g.position > f.position order by g.position limit 1) l on true
        """
    row = await lines.row(statement)
    return row["entries"], max(0.0, row["seconds"])


async def keep_others_out(tx: Transaction) -> None:
    """In a statement of its own: what the next ones see is younger than whatever the follower wrote."""
    await tx.run("select pg_advisory_xact_lock(:lock)", lock=FOLLOWER_LOCK)


async def find_stretch(tx: Transaction, most: int) -> Stretch:
    """The next messages to be looked at, after where an earlier run came to."""
    statement = """
        select b.after, (select max(x.id) from (select g.id from messages g where g.id > b.after
                                                 order by g.id limit :most) x) as upto,
               (select position from log_head order by position desc limit 1) as head
          from (select coalesce(max(f.position), 0) as after from log_followers f where f.name = :name) b
        """
    row = (await tx.run(statement, name=REBUILDING, most=most)).one()
    return Stretch(row.after, row.upto, row.head)


async def note_stretch(tx: Transaction, upto: int | None) -> None:
    """Everything up to there is right. None: all of it is, and the next run begins anew."""
    statement = """
        with gone as (delete from log_followers where name = :name and cast(:upto as bigint) is null)
        insert into log_followers (name, position) select :name, :upto where cast(:upto as bigint) is not null
            on conflict (name) do update set position = excluded.position, at = clock_timestamp()
        """
    await tx.run(statement, name=REBUILDING, upto=upto)


async def index_range(tx: Transaction, after: int, upto: int) -> None:
    """Makes the documents of these messages right, and removes those without a message."""
    await tx.run("select search_index(:after, :upto, '{}')", after=after, upto=upto)


async def renew_stems(tx: Transaction, after: int, upto: int) -> None:
    """A newer PostgreSQL may reduce words in another way."""
    statement = """
        update search_words k set stems = r.stems
          from (select x.word, search_stems(x.word) as stems
                  from (select distinct w as word from search_documents d cross join unnest(d.words) w
                         where d.message_id > :after and d.message_id <= :upto) x) r
         where k.word = r.word and k.stems is distinct from r.stems
        """
    await tx.run(statement, after=after, upto=upto)


async def learn(tx: Transaction, words: Sequence[str]) -> None:
    statement = """
        insert into search_words (word, stems) select w, search_stems(w) from unnest(cast(:words as text[])) w
            on conflict (word) do update set stems = excluded.stems
        """
    await tx.run(statement, words=words)


async def forget(tx: Transaction, words: Sequence[str]) -> None:
    """Those of them that nobody says."""
    await tx.run("select search_forget(:words)", words=words)


async def follow(tx: Transaction, most: int) -> bool:
    """A step of the follower. True: there is more, and no other process follows."""
    row = (await tx.run("select upto, head from search_follow(:most)", most=most)).one()
    return row.upto is not None and row.upto < row.head
