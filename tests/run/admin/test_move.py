"""An installation in another place: nobody is told anything twice or not at all, and the old place is closed."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from messenger.app import create_app
from messenger.web.server import make_runner
from tests.actors import Person, Server
from tests.apps.search.finding import indexed, is_true
from tests.apps.talk import says
from tests.conftest import configured
from tests.people import present
from tests.run.admin.conftest import Admin, Past, refusal
from tests.run.admin.copies import contents, empty_database, killed_at_the_brake, run_sql


@pytest.fixture
async def place(postgres: str) -> AsyncIterator[str]:
    async with empty_database(postgres) as dsn:
        yield dsn


async def test_clients_go_on_in_the_new_place_as_if_nothing_had_happened(
    admin: Admin, dsn: str, place: str, tmp_path: Path
) -> None:
    async with running(dsn, tmp_path) as here, present(here, "alice") as alice, present(here, "bob") as bob:
        assert "Others are connected" in refusal(await admin("move", "--to", place), 1)
        lunch = await alice.opens_chat("lunch", members=[bob])
        heard = (await alice.get("/v1/sync")).json["cursor"]
        await says(alice, lunch, "said here")
        head = (await alice.get("/v1/sync")).json["cursor"]
    (tmp_path / "address").write_text(f"{place}\n")

    moved = await admin("move", "--to-file", str(tmp_path / "address"))

    assert moved.returncode == 0, moved.stderr
    assert moved.stderr == "", "progress is for terminals"
    assert f"DATABASE_URL={place}" in moved.stdout
    async with running(place, tmp_path) as there:
        alice, bob = elsewhere(alice, there), elsewhere(bob, there)
        async with alice.connects(cursor=heard) as socket, bob.connects(cursor=head) as other:
            assert (await socket.hears("new_message"))["message"]["text"] == "said here"
            for number in range(3):  # the first of them begins the new epoch
                await says(bob, lunch, f"said there {number}")
                for one in (socket, other):
                    assert (await one.hears("new_message"))["message"]["text"] == f"said there {number}"
            assert "resync" not in [event["type"] for one in (socket, other) for event in one.heard]
        async with bob.connects(cursor=head) as other:  # of the old epoch, in the new one
            assert (await other.hears("new_message"))["message"]["text"] == "said there 0"
            assert "resync" not in [event["type"] for event in other.heard]
        connection = await asyncpg.connect(place)
        await indexed(connection)
        assert await is_true(connection)
        await connection.close()
        await alice.http.close()
        await bob.http.close()


def running(dsn: str, folder: Path):
    return Server.running(make_runner(create_app(configured(folder, {}), dsn)))


def elsewhere(person: Person, server: Server) -> Person:
    """The same device, whose address book has another server."""
    return Person(server, aiohttp.ClientSession(), person.name, person.user_id, person.credentials, person.headers)


async def test_the_old_place_is_closed_until_the_move_is_undone(
    admin: Admin, past: Past, dsn: str, place: str, postgres: str
) -> None:
    before = await contents(dsn)
    (await admin("move", "--to", place)).check_returncode()

    for command in ("fsck", "seed"):
        assert f"has moved to {place}" in refusal(await admin(command), 4)
    assert "has moved to" in refusal(await admin("move", "--to", postgres), 4)
    assert (await admin("fsck", DATABASE_URL=place)).returncode == 0
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await run_sql_as_others_do(dsn)
    assert await contents(place) == without_note(await contents(dsn)) == before
    assert "two from now on" in refusal(await admin("move", "--undo"), 1)

    assert (await admin("move", "--undo", "--yes")).returncode == 0

    await run_sql_as_others_do(dsn)
    assert (await admin("fsck")).returncode == 0
    assert "No move" in refusal(await admin("move", "--undo"), 2)


async def run_sql_as_others_do(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("update users set about = 'somewhere' where id = 1")
    finally:
        await connection.close()


def without_note(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: some for name, some in rows.items() if name != "installation_move"}


async def test_after_kill_9_both_places_wait_and_the_same_command_goes_on(
    admin: Admin, past: Past, dsn: str, place: str, postgres: str, tmp_path: Path
) -> None:
    before = await contents(dsn)

    await killed_at_the_brake(postgres, place, "move", "--to", place, folder=tmp_path, DATABASE_URL=dsn)

    assert "is being moved to" in refusal(await admin("fsck"), 4)
    assert "is not finished" in refusal(await admin("fsck", DATABASE_URL=place), 4)
    connection = await asyncpg.connect(place)
    # What has been copied stays: a second copy of it would be refused.
    done = {row[0] for row in await connection.fetch("select name from installation_move_parts")}
    assert "users" in done or "chats" in done
    assert await connection.fetchval("select count(*) from messages") == 0
    await connection.close()

    resumed = await admin("move", "--to", place)

    assert resumed.returncode == 0, resumed.stderr
    assert await contents(place) == before
    connection = await asyncpg.connect(place)
    await connection.execute("select messenger.send($1, $2, 'sequences go on')", past.lunch, past.alice)
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await connection.execute("delete from audit")
    await connection.close()
    assert (await admin("fsck", DATABASE_URL=place)).returncode == 0


async def test_what_has_begun_can_be_undone_and_begun_elsewhere(
    admin: Admin, past: Past, dsn: str, place: str, postgres: str, tmp_path: Path
) -> None:
    await killed_at_the_brake(postgres, place, "move", "--to", place, folder=tmp_path, DATABASE_URL=dsn)

    assert (await admin("move", "--undo")).returncode == 0  # nothing has moved, so nobody asks
    assert (await admin("fsck")).returncode == 0
    assert "not empty" in refusal(await admin("move", "--to", place), 1), "what was copied may be old by now"
    async with empty_database(postgres) as other:
        assert (await admin("move", "--to", other)).returncode == 0


async def test_a_copy_that_differs_is_not_served(
    admin: Admin, past: Past, dsn: str, place: str, postgres: str, tmp_path: Path
) -> None:
    await killed_at_the_brake(postgres, place, "move", "--to", place, folder=tmp_path, DATABASE_URL=dsn)
    await run_sql(place, "delete from chats where id = 1")

    assert "chats has 4 rows here and 3 there" in refusal(await admin("move", "--to", place), 1)
    assert "is not finished" in refusal(await admin("fsck", DATABASE_URL=place), 4)


async def test_what_is_no_new_place_is_refused_and_nothing_is_closed(
    admin: Admin, past: Past, dsn: str, place: str, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    await run_sql(place, "create table something (id int)")

    for arguments, reason, code in (
        (["--to", "postgresql://me:secret@127.0.0.1:1/name"], "no password", 2),
        (["--to", "mysql://there"], "begins with postgresql://", 2),
        (["--to-file", str(tmp_path / "none")], "cannot be read", 2),
        (["--to", "postgresql://me@127.0.0.1:1/name"], "nobody listens there", 3),
        (["--to", dsn], "is the database that is to be moved", 2),
        (["--to", place], "has a table something", 1),
    ):
        said = refusal(await admin("move", *arguments), code)
        assert reason in said and "secret" not in said
    await sql.execute("update users set about = 'still open'")
    await run_sql(place, "drop table something")
    assert "unnamed (1)" in refusal(await admin("move", "--to", place), 1), "our own look past the server"
