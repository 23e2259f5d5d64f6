"""The group commit by itself, with drafts that are no messages: rows of a table, by a statement of the test's own."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import asyncpg
import pytest

from messenger.db.connection import ReconnectingConnection
from messenger.errors import InternalError, MessengerError, Unavailable
from messenger.log import appender
from messenger.log.appender import Appender, Queued, take_batch
from proof.lab.waiting import happens

pytestmark = pytest.mark.usefixtures("one_second")

SOON = 20.0
TROUBLE = "select 1 / 0"


@dataclass(slots=True, eq=False, kw_only=True)
class Word(Queued):
    text: str
    told: "asyncio.Future[str]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def repeats(self) -> str | None:
        return self.text if self.text.startswith("copy") else None


class Book:
    """Writes each word down where its chat's row can be locked; what cannot be written is `trouble`."""

    def __init__(self, dsn: str) -> None:
        self.appender: Appender[Word] = Appender(self, dsn)
        self.batches: list[list[str]] = []
        self.is_broken = False

    async def write(self, connection: ReconnectingConnection, batch: Sequence[Word]) -> None:
        self.batches.append([word.text for word in batch])
        if any(word.text == "trouble" for word in batch):
            await connection.row(TROUBLE)
        await connection.rows(
            "with locked as (select id from chats where id = any($1) for no key update)"
            " insert into said select t.text from (select count(*) from locked) l, unnest($2::text[]) as t(text)",
            [word.chat_id for word in batch],
            [word.text for word in batch],
        )
        if self.is_broken:
            raise RuntimeError("the answer cannot be read")
        for word in batch:
            self._tell(word, "stored")

    def refuse(self, draft: Word, error: MessengerError) -> None:
        self._tell(draft, type(error).__name__)

    def _tell(self, word: Word, verdict: str) -> None:
        if not word.is_answered:
            word.is_answered = True
            word.told.set_result(verdict)

    def say(self, *texts: str, chat_id: int = 1) -> list["asyncio.Future[str]"]:
        words = [Word(chat_id=chat_id, text=text) for text in texts]
        for word in words:
            self.appender.submit(word)
        return [word.told for word in words]


@pytest.fixture
async def book(dsn: str, sql: asyncpg.Connection) -> AsyncIterator[Book]:
    await sql.execute("create table said (text text, at bigint generated always as identity)")
    await sql.execute("insert into chats (name) values ('one'), ('two')")
    book = Book(dsn)
    await book.appender.start()
    yield book
    await book.appender.stop()


async def verdicts(told: Sequence["asyncio.Future[str]"]) -> list[str]:
    return list(await asyncio.wait_for(asyncio.gather(*told), SOON))


async def written(sql: asyncpg.Connection) -> list[str]:
    return [row["text"] for row in await sql.fetch("select text from said order by at")]


async def test_what_comes_at_once_shares_a_commit_and_two_copies_never_do(book, sql):
    told = book.say("a", "copy of b", "c", "copy of b", "d")

    assert await verdicts(told) == ["stored"] * 5
    assert book.batches == [["a", "copy of b", "c"], ["copy of b", "d"]]
    assert await written(sql) == ["a", "copy of b", "c", "copy of b", "d"]


async def test_a_draft_that_cannot_be_stored_fails_alone_and_the_others_keep_their_order(book, sql):
    told = book.say("a", "trouble", "b", "c")

    assert await verdicts(told) == ["stored", InternalError.__name__, "stored", "stored"]
    assert await written(sql) == ["a", "b", "c"]


async def test_an_error_that_nobody_expected_is_its_drafts_and_the_appender_goes_on(book, sql):
    book.is_broken = True
    lost = await verdicts(book.say("a", "b"))
    book.is_broken = False
    after = await verdicts(book.say("c"))

    assert (lost, after) == ([InternalError.__name__] * 2, ["stored"])


async def hold_up_batches(sql, dsn) -> asyncpg.Connection:
    """Every batch hangs until this connection is closed."""
    await sql.execute(
        "create function wait() returns trigger language plpgsql as 'begin set local lock_timeout = 0;"
        " perform pg_advisory_xact_lock(1); return new; end'"
    )
    await sql.execute("create trigger wait before insert on said for each row execute function wait()")
    stranger = await asyncpg.connect(dsn)
    await stranger.execute("select pg_advisory_lock(1)")
    return stranger


async def test_a_draft_has_its_second_also_while_a_locked_chat_has_more_time(book, sql, dsn, monkeypatch):
    monkeypatch.setattr("messenger.db.connection.STATEMENT_TIMEOUT", 3600.0)
    monkeypatch.setattr(appender, "LOCKED_PATIENCE", 3600.0)
    locking = await asyncpg.connect(dsn)
    await locking.execute("begin; select 1 from chats where id = 1 for update")
    locked = book.say("1")
    await happens(lambda: asyncio.sleep(0, bool(book.appender._locked)), "a chat that waits apart", SOON)
    await asyncio.sleep(appender.PATIENCE + appender.LATE)  # the overdue are looked for, and none is found
    stranger = await hold_up_batches(sql, dsn)

    hanging = await verdicts(book.say("a", chat_id=2))

    await stranger.close()
    await locking.close()
    assert (hanging, await verdicts(locked)) == ([Unavailable.__name__], ["stored"])


async def test_a_draft_whose_batch_hangs_is_told_so_while_it_goes_on_and_what_waited_is_never_written(
    book, sql, dsn, monkeypatch
):
    monkeypatch.setattr("messenger.db.connection.STATEMENT_TIMEOUT", 3600.0)
    stranger = await hold_up_batches(sql, dsn)

    told = book.say("a", "b")
    await happens(lambda: asyncio.sleep(0, bool(book.batches)), "the batch", SOON)
    told += book.say("c")
    while_it_hangs = await verdicts(told)
    await stranger.close()
    after = await verdicts(book.say("d"))

    assert (while_it_hangs, after) == ([Unavailable.__name__] * 3, ["stored"])
    assert await written(sql) == ["a", "b", "d"]


async def test_a_table_that_a_stranger_locks_delays_drafts_and_ends_nothing(book, sql, dsn, monkeypatch):
    monkeypatch.setattr(appender, "PATIENCE", SOON)
    stranger = await asyncpg.connect(dsn)
    await stranger.execute("begin; lock table chats in access exclusive mode")
    told = book.say("a", "b")
    await happens(lambda: asyncio.sleep(0, len(book.batches) > 1), "another try", SOON)
    await stranger.close()

    assert await verdicts([*told, *book.say("c")]) == ["stored"] * 3
    assert await written(sql) == ["a", "b", "c"]


async def test_a_chat_that_a_stranger_locks_waits_apart_and_everything_in_it_stays_in_order(
    book, sql, dsn, monkeypatch
):
    monkeypatch.setattr(appender, "LOCKED_PATIENCE", 3600.0)
    before = await connections(sql)
    stranger = await asyncpg.connect(dsn)
    await stranger.execute("begin; select 1 from chats where id = 1 for update")

    locked = book.say("1", "trouble", "2", "3")
    free = await verdicts(book.say("a", "trouble", "b", chat_id=2))
    locked += book.say("4", "5")
    await stranger.close()

    assert free == ["stored", InternalError.__name__, "stored"]
    assert await verdicts(locked) == ["stored", InternalError.__name__, *["stored"] * 4]
    assert await written(sql) == ["a", "b", "1", "2", "3", "4", "5"]

    async def is_closed() -> bool:
        return await connections(sql) <= before + 1

    await happens(is_closed, "the end of the locked chat's connection", SOON)


async def connections(sql: asyncpg.Connection) -> int:
    return await sql.fetchval(
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and application_name like 'messenger %:%'"
    )


def test_a_batch_ends_before_a_draft_that_goes_alone():
    waiting = deque(Word(chat_id=1, text=text, told=None) for text in "abc")
    waiting[1].goes_alone = True

    assert [[word.text for word in take_batch(waiting)] for _ in range(3)] == [["a"], ["b"], ["c"]]
