"""A new epoch of the log, and the index made anew, beside a server that runs."""

import asyncpg

from tests.actors import Person, Server
from tests.apps.search.finding import finds, indexed, is_true
from tests.apps.talk import fill, says
from tests.run.admin.conftest import Admin, refusal


async def test_in_a_new_epoch_cursors_hold_up_to_the_common_part(
    admin: Admin, server: Server, alice: Person, sql: asyncpg.Connection
) -> None:
    lunch = await alice.opens_chat("lunch")
    await says(alice, lunch, "one")
    common = (await alice.get("/v1/sync")).json["cursor"]
    await says(alice, lunch, "two")
    beyond = (await alice.get("/v1/sync")).json["cursor"]

    done = await admin("new-epoch", "--yes", "--after", common.partition(".")[2])

    assert done.returncode == 0, done.stderr
    assert f"everything up to position {common.partition('.')[2]} holds" in done.stdout
    await alice.get("/v1/sync")  # the server has followed the log into the new epoch, and turns nobody away any more
    async with alice.connects(cursor=common) as socket:
        assert (await socket.hears("new_message"))["message"]["text"] == "two"
    async with alice.connects(cursor=beyond) as socket:
        await socket.hears("resync")
    await says(alice, lunch, "three")
    new = (await alice.get("/v1/sync")).json["cursor"]
    assert new.partition(".")[0] != common.partition(".")[0]
    assert await sql.fetchval("select log_cursor_is_good($1, $2)", new.partition(".")[0], int(new.partition(".")[2]))
    fsck = await admin("fsck")
    assert fsck.returncode == 0, fsck.stdout


async def test_a_new_epoch_is_not_begun_by_accident(admin: Admin, alice: Person, sql: asyncpg.Connection) -> None:
    assert "--yes" in refusal(await admin("new-epoch"), 1)
    assert "is not between" in refusal(await admin("new-epoch", "--yes", "--after", "1000000"), 2)
    assert await sql.fetchval("select count(distinct epoch) from log_head") == 1


async def test_a_wrong_index_is_made_anew_by_a_command(admin: Admin, alice: Person, sql: asyncpg.Connection) -> None:
    lunch = await alice.opens_chat("lunch")
    await fill(sql, lunch, alice, 1500)
    await says(alice, lunch, "needle")
    await indexed(sql)
    await sql.execute("update search_documents set words = '{}', text = 'wrong'")

    done = await admin("reindex", "--anew")

    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("100 %\n")
    assert await is_true(sql)
    assert await finds(alice, "needle") == ["needle"]
