"""Those who read the log do not queue behind the slowest of them."""

import asyncio

import asyncpg

from messenger.log.retention import prune
from messenger.web.app_keys import LOG
from proof.lab.waiting import happens
from tests.actors import Person, Server

WAITING = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"


async def test_a_client_that_comes_back_is_served_while_old_entries_are_being_deleted(
    server: Server, alice: Person, sql: asyncpg.Connection
) -> None:
    await alice.opens_chat("lunch")
    readers = server.runner.app[LOG]._readers
    async with sql.transaction():
        await sql.execute("update log_kept set after_position = after_position")
        pruning = asyncio.create_task(prune(readers, days=0))
        await happens(lambda: sql.fetchval(WAITING), "a prune that waits")

        async with asyncio.timeout(3), alice.connects():
            pass

        assert not pruning.done()
    assert await pruning > 0
