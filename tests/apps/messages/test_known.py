"""What a process remembers of who may speak: used, kept right by the log, and by a look at the tables now and then."""

import asyncio

import asyncpg
import pytest

from messenger.apps.messages.recheck import recheck
from messenger.db.connection import ReconnectingConnection
from messenger.web.app_keys import LOG
from tests.actors import Person
from tests.apps.talk import says

pytestmark = pytest.mark.shared

PAST_THE_TRIGGERS = "set session_replication_role = replica"


@pytest.fixture
async def lunch(alice: Person, bob: Person) -> str:
    """Both have spoken; alice is remembered, and bob has more to read."""
    lunch = await alice.opens_chat("lunch", [bob])
    for person in (alice, bob, alice, alice):
        await says(person, lunch, "words")
    return lunch


async def answers(person: Person, lunch: str) -> tuple[int, str]:
    """The status of a send, and the name it was stored under."""
    answer = await person.post(f"/v1/chats/{lunch}/messages", {"text": "pizza?"})
    return answer.status, answer.json.get("sender_name", "")


@pytest.mark.parametrize(
    ("by_hand", "expected"),
    [
        ("update users set name = 'annie' where name = 'alice'", (201, "annie")),
        ("update members set name = 'here annie' where user_id = $1", (201, "here annie")),
        ("delete from members where user_id = $1", (404, "")),
        ("update chats set deleted_at = 1", (404, "")),
        ("update sessions set ended_at = now() where user_id = $1", (401, "")),
        ("truncate sessions cascade", (401, "")),
    ],
)
async def test_what_is_changed_by_hand_holds_for_the_next_message(alice, lunch, sql, by_hand, expected):
    await sql.execute(by_hand.replace("$1", alice.user_id))

    assert await answers(alice, lunch) == expected


async def test_what_was_changed_past_the_triggers_is_found_by_comparing(alice, server, lunch, sql, dsn, caplog):
    connection = ReconnectingConnection(dsn)
    stream = server.runner.app[LOG]
    assert await recheck(connection, stream) == 0
    while not any(person == int(alice.user_id) for _, person, _ in stream.known.sample(10)):
        await says(alice, lunch, "words")
    await asyncio.sleep(0.1)  # after a refused try memory is not asked for a moment
    await sql.execute(PAST_THE_TRIGGERS)
    await sql.execute("update users set name = 'annie' where name = 'alice'")
    before = await answers(alice, lunch)

    found = [await recheck(connection, stream) for _ in range(20)]
    after = await answers(alice, lunch)

    connection.close()
    assert (before, after) == ((201, "alice"), (201, "annie")), "until then memory was believed"
    assert sum(found) == 1 and "remembered wrongly" in caplog.text


async def test_a_member_who_was_removed_past_the_triggers_is_refused_at_once(alice, lunch, sql, caplog):
    """The row that a send writes is not there."""
    await sql.execute(PAST_THE_TRIGGERS)
    await sql.execute("delete from members where user_id = $1", int(alice.user_id))

    assert await answers(alice, lunch) == (404, "")
    assert "was wrong" in caplog.text


SLOW_TO_STORE = """
    create function wait_a_while() returns trigger language plpgsql as
        $$ begin perform pg_sleep(1.5); return new; end $$;
    create trigger slow before insert on messages for each row execute function wait_a_while();
"""


async def test_a_name_that_is_changed_by_hand_while_a_batch_is_written_is_not_remembered_from_before(
    alice, server, lunch, sql, dsn
):
    """The batch has read the name and waits for the head; the change is heard of before the batch has its answer."""
    stream = server.runner.app[LOG]
    stream.forget()
    await sql.execute(SLOW_TO_STORE)
    other = await asyncpg.connect(dsn)
    async with other.transaction():
        await other.execute("select pg_advisory_xact_lock(7236837)")
        sending = asyncio.create_task(answers(alice, lunch))
        while not await sql.fetchval("select exists(select from pg_locks where locktype = 'advisory' and not granted)"):
            await asyncio.sleep(0)
        await other.execute("update users set name = 'annie' where name = 'alice'")
    await other.close()
    await stream.tail.reach(stream.tail.position + 1)
    assert not sending.done()

    assert await sending == (201, "alice")
    await sql.execute("drop trigger slow on messages")
    assert await answers(alice, lunch) == (201, "annie")


@pytest.mark.alone
async def test_two_processes_that_send_to_one_chat_make_one_order(alice, bob, lunch, start, sql):
    """Each remembers numbers that the other changes: what is refused for that goes the other way."""
    other = await start()

    async def talks(person: Person, n: int) -> None:
        for turn in range(15):
            server = (person.server, other)[(turn + n) % 2]
            await person.post(
                f"/v1/chats/{lunch}/messages", {"text": "words", "client_id": f"{n}.{turn}"}, server=server
            )

    await asyncio.gather(*(talks(person, n) for n, person in enumerate((alice, bob, alice, bob))))

    assert [row["seq"] for row in await sql.fetch("select seq from messages order by id")] == list(range(1, 65))
    assert await damage(sql) == []


async def damage(sql: asyncpg.Connection) -> list[asyncpg.Record]:
    return await sql.fetch(
        """
        select c.id from chats c join members m on m.chat_id = c.id group by c.id
        having c.floor_seq <> min(m.read_seq) or c.read_seq <> min(m.read_seq)
            or c.head_seq <> (select count(*) from messages where chat_id = c.id)
            or c.head_id <> (select max(id) from messages where chat_id = c.id)
        """
    )
