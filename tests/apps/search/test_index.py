"""The index follows the log: whenever it is switched on, in every process, and from the start again when asked."""

import asyncio

import pytest

from messenger.apps.search.rebuild import rebuild
from messenger.db.database import Database
from tests.actors import Person
from tests.apps.search.finding import PATIENCE, STEP, finds, indexed, is_true
from tests.apps.talk import fill, says

WITHOUT = "auth,chats,messages"
WITH = "auth,chats,messages,search"


async def test_what_was_said_while_search_was_off_is_found_when_it_comes_on(start, sql) -> None:
    async with Person.registered(await start(APPS=WITHOUT), "alice") as alice:
        lunch = await alice.opens_chat("lunch")
        await fill(sql, lunch, alice, 2500)  # more than one step
        needle = await says(alice, lunch, "needle")
        other = await says(alice, lunch, "straw")
        path = f"/v1/chats/{lunch}/messages"
        (await alice.asks("PATCH", f"{path}/{needle['message_id']}", {"text": "pin"})).expecting(200)
        (await alice.asks("DELETE", f"{path}/{other['message_id']}")).expecting(204)

        alice.server = await start(APPS=WITH)
        await indexed(sql)

        assert (await finds(alice, "pin"), await finds(alice, "needle"), await finds(alice, "straw")) == (
            ["pin"],
            [],
            [],
        )
        assert await is_true(sql)


async def test_several_processes_write_the_index_one_at_a_time(start, sql) -> None:
    servers = [await start() for _ in range(3)]
    async with Person.registered(servers[0], "alice") as alice:
        lunch = await alice.opens_chat("lunch")

        await asyncio.gather(
            *(
                alice.post(f"/v1/chats/{lunch}/messages", {"text": f"straw {n}"}, server=servers[n % 3])
                for n in range(100)
            )
        )

        await indexed(sql)
        assert await sql.fetchval("select count(*) from search_documents") == 100
        assert await is_true(sql)


async def test_an_index_that_is_wrong_is_made_anew_beside_a_running_server(alice, dsn, sql) -> None:
    lunch = await alice.opens_chat("lunch")
    await fill(sql, lunch, alice, 2500)
    await indexed(sql)
    await sql.execute("delete from search_documents where message_id % 2 = 0")
    await sql.execute("update search_documents set words = '{wrong}', text = 'wrong' where message_id % 3 = 0")
    await sql.execute("insert into search_documents values (1, 999, 1, 1, now(), 'of nobody', '{}')")
    assert not await is_true(sql)
    told: list[tuple[int, int]] = []
    db = Database(dsn)

    await rebuild(db, lambda done, of: told.append((done, of)))

    await db.close()
    assert told and told[-1][0] >= told[-1][1]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert await is_true(sql)


class Interrupted(Exception):
    pass


async def test_a_rebuilding_goes_on_where_it_was_interrupted_and_what_is_said_meanwhile_is_found(
    alice, dsn, sql
) -> None:
    lunch = await alice.opens_chat("lunch")
    await fill(sql, lunch, alice, 2500)
    await indexed(sql)
    await sql.execute("update search_documents set words = '{wrong}', text = 'wrong'")
    db = Database(dsn)

    def interrupt(done: int, of: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        await rebuild(db, interrupt)
    left = await sql.fetchval("select count(*) from search_documents where text = 'wrong'")
    assert 0 < left < 2500, "a step was taken, and the rest is still to come"
    await says(alice, lunch, "needle")
    await indexed(sql)
    assert await finds(alice, "needle") == ["needle"]
    told: list[int] = []

    await rebuild(db, lambda done, of: told.append(done))

    await db.close()
    assert len(told) < 4, "the first step was not taken again"
    assert await is_true(sql)
    assert not await sql.fetchval("select count(*) from log_followers where name = 'search rebuild'")


async def test_edits_that_were_pruned_before_the_index_followed_are_not_missed(start, sql) -> None:
    async with Person.registered(await start(APPS=WITHOUT), "alice") as alice:
        lunch = await alice.opens_chat("lunch")
        first, second = await says(alice, lunch, "needle"), await says(alice, lunch, "straw")
        while (await sql.fetchrow("select * from search_follow(500)"))["upto"] is None:
            pass
        path = f"/v1/chats/{lunch}/messages"
        (await alice.asks("PATCH", f"{path}/{first['message_id']}", {"text": "pin"})).expecting(200)
        (await alice.asks("DELETE", f"{path}/{second['message_id']}")).expecting(204)
        while await sql.fetchval("select log_prune(clock_timestamp() + interval '1 hour', 5000)"):
            pass
        await says(alice, lunch, "hay")
        assert not await is_true(sql)

        alice.server = await start(APPS=WITH)
        await indexed(sql)

        assert await is_true(sql)
        assert await finds(alice, "pin") == ["pin"]


async def test_a_step_that_fails_leaves_no_trace_and_is_taken_again(alice, sql, caplog) -> None:
    lunch = await alice.opens_chat("lunch")
    await indexed(sql)
    await sql.execute("alter table search_documents add constraint no check (text <> 'needle')")
    await says(alice, lunch, "needle")
    async with asyncio.timeout(PATIENCE):
        while "the index could not follow" not in caplog.text:
            await asyncio.sleep(STEP)

    await sql.execute("alter table search_documents drop constraint no")

    await indexed(sql)
    assert await is_true(sql)
    assert await finds(alice, "needle") == ["needle"]


# Somebody deletes the message between the two statements of a step that write its document and look for what is gone.
HASTE = """
    create function delete_at_once() returns trigger language plpgsql as $$
    begin
        update messages set deleted_at = now() where id = new.message_id and new.text = 'needle';
        return null;
    end $$;
    create trigger haste after insert on search_documents for each row execute function delete_at_once();
"""


async def test_a_message_that_is_deleted_while_it_is_taken_up_leaves_no_word(alice, sql) -> None:
    await sql.execute(HASTE)

    await says(alice, await alice.opens_chat("lunch"), "needle")
    await indexed(sql)

    assert await sql.fetch("select word from search_words") == []
