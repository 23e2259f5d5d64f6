"""What goes wrong while messages are stored is told to their senders, and sending goes on."""

import asyncio
from typing import Any

import asyncpg
import pytest

from messenger.apps.messages import service
from messenger.apps.messages.schemas import Outgoing
from messenger.errors import BadParameters
from proof.lab.waiting import happens
from tests.actors import Person, Server
from tests.apps.talk import says
from tests.sockets import SOON, Refused

pytestmark = pytest.mark.usefixtures("one_second")


def sends(server: Server, person: Person, *messages: tuple[str, str]) -> list["asyncio.Task[Any]"]:
    """(chat, text): all of them in one turn of the loop, past the edge that would refuse some of the texts."""
    sender, user_id = server.runner.app[service.SENDER], int(person.user_id)
    return [
        asyncio.create_task(service.send(sender, user_id, None, int(chat), Outgoing(text))) for chat, text in messages
    ]


async def test_a_text_that_cannot_be_stored_is_refused_alone_also_beside_a_locked_chat(
    alice: Person, server: Server, sql: asyncpg.Connection, dsn: str
) -> None:
    locked, free = await alice.opens_chat("locked"), await alice.opens_chat("free")
    stranger = await asyncpg.connect(dsn)
    await stranger.execute("begin")
    await stranger.execute("select 1 from chats where id = $1 for update", int(locked))

    texts = [str(number) for number in range(10)]
    waiting = [(locked, text) for text in texts]
    first, bad, *rest = sends(server, alice, (free, "before"), (free, "nul \x00"), *waiting, (free, "after"))
    with pytest.raises(BadParameters):
        await asyncio.wait_for(bad, SOON)
    await asyncio.wait_for(asyncio.gather(first, rest[-1]), SOON)
    assert not any(send.done() for send in rest[:-1])
    await stranger.close()
    await asyncio.wait_for(asyncio.gather(*rest), SOON)

    stored = await sql.fetch("select text from messages where chat_id = $1 order by seq", int(locked))
    assert [row["text"] for row in stored] == texts

    async def is_tidy() -> bool:
        return await sql.fetchval(LOCKING) == 0

    await happens(is_tidy, "the end of the connections of the locked chat", SOON)


LOCKING = """
    select greatest(0, count(*) - 1) from pg_stat_activity
     where datname = current_database() and query like 'select * from log_append%'
"""


async def test_a_stranger_who_locks_all_chats_delays_sending_and_does_not_end_it(
    alice: Person, sql: asyncpg.Connection, dsn: str
) -> None:
    """What asks which chats are free waits for such a lock as well."""
    lunch = await alice.opens_chat("lunch")

    async with alice.connects() as hers:
        await hers.asks("new_message", chat_id=lunch, text="hello")
        stranger = await asyncpg.connect(dsn)
        await stranger.execute("begin; lock table chats in access exclusive mode")
        answer = await hers.sends("new_message", chat_id=lunch, text="pizza?", client_id="k")
        with pytest.raises(Refused) as unknown:
            await asyncio.wait_for(answer, SOON)
        await stranger.close()
        ack = await hers.asked("new_message", chat_id=lunch, text="pizza?", client_id="k")

    assert unknown.value.code == "unavailable"
    assert (ack["result"]["seq"], "replayed" in ack) == (2, False)


async def test_an_error_of_the_database_is_internal_for_its_message_and_sending_goes_on(
    alice: Person, sql: asyncpg.Connection
) -> None:
    """Another application has planted a trigger that fails."""
    lunch = await alice.opens_chat("lunch")
    await sql.execute("create function fail() returns trigger language plpgsql as 'begin raise ''no''; end'")
    await sql.execute(
        "create trigger fail before insert on messages for each row when (new.text = 'pizza?') execute function fail()"
    )

    failed = await alice.post(f"/v1/chats/{lunch}/messages", {"text": "pizza?"})

    assert (failed.status, failed.code) == (500, "internal")
    assert (await says(alice, lunch, "pasta?"))["seq"] == 1


async def test_a_message_whose_batch_hangs_is_answered_unavailable_and_heard_when_it_is_stored_after_all(
    alice: Person, sql: asyncpg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender's socket, too, hears the event then: nothing else tells it."""
    monkeypatch.setattr("messenger.db.connection.STATEMENT_TIMEOUT", 3600.0)
    lunch = await alice.opens_chat("lunch")
    await sql.execute(
        "create function wait() returns trigger language plpgsql as 'begin set local lock_timeout = 0;"
        " perform pg_advisory_xact_lock(1); return new; end'"
    )
    await sql.execute("create trigger wait before insert on messages for each row execute function wait()")

    async with alice.connects() as hers:
        await hers.asks("new_message", chat_id=lunch, text="hello")
        stranger = await asyncpg.connect(dsn)
        await stranger.execute("select pg_advisory_lock(1)")
        answer = await hers.sends("new_message", chat_id=lunch, text="pizza?", client_id="k")
        with pytest.raises(Refused) as unknown:
            await asyncio.wait_for(answer, SOON)
        await stranger.close()
        heard = await hers.hears("new_message")
        again = await hers.asked("new_message", chat_id=lunch, text="pizza?", client_id="k")

    assert unknown.value.code == "unavailable"
    assert heard["message"]["text"] == "pizza?"
    assert (again["result"]["seq"], again.get("replayed")) == (2, True)
