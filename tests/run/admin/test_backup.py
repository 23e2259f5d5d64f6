"""A backup of a living installation, and an installation made of it."""

import asyncio
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest

from messenger.app import create_app
from messenger.web.server import make_runner
from tests.actors import Person, Server
from tests.apps.search.finding import finds, indexed, is_true
from tests.apps.talk import says
from tests.conftest import configured
from tests.run.admin.conftest import Admin, Past, refusal
from tests.run.admin.copies import (
    contents,
    empty_database,
    killed_at_the_brake,
    left_alone,
    started,
)


@pytest.fixture
async def empty(postgres: str) -> AsyncIterator[str]:
    async with empty_database(postgres) as dsn:
        yield dsn


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "monday.backup"


async def test_clients_go_on_where_the_backup_was_made_and_load_anew_what_it_does_not_have(
    admin: Admin, server: Server, alice: Person, bob: Person, empty: str, file: Path, tmp_path: Path
) -> None:
    lunch = await alice.opens_chat("lunch", members=[bob])
    common = (await alice.get("/v1/sync")).json["cursor"]
    await says(alice, lunch, "saved")

    saved = await admin("backup", str(file))
    await says(alice, lunch, "not saved")
    beyond = (await alice.get("/v1/sync")).json["cursor"]
    restored = await admin("restore", str(file), DATABASE_URL=empty)

    assert saved.returncode == 0, saved.stderr
    assert saved.stderr == restored.stderr == "", "progress is for terminals"
    assert restored.returncode == 0, restored.stderr
    async with Server.running(make_runner(create_app(configured(tmp_path, {}), empty))) as there:
        for person in (alice, bob):
            person.server = there  # and still signed in
        async with alice.connects(cursor=common) as socket, bob.connects(cursor=beyond) as late:
            assert (await socket.hears("new_message"))["message"]["text"] == "saved"
            await late.hears("resync")
            for number in range(5):  # more than was said where the backup came from
                await says(bob, lunch, f"new {number}")
                assert (await socket.hears("new_message"))["message"]["text"] == f"new {number}"
        async with bob.connects(cursor=beyond) as late:
            await late.hears("resync")
        async with Person.registered(there, "carol") as carol:  # gets an id that nobody has
            await carol.joins(lunch)
        connection = await asyncpg.connect(empty)
        await indexed(connection)
        assert await is_true(connection) and await finds(alice, "saved") == ["saved"]
        await connection.close()
    fsck = await admin("fsck", DATABASE_URL=empty)
    assert fsck.returncode == 0, fsck.stdout


async def test_everything_is_there_again_and_works(
    admin: Admin, past: Past, sql: asyncpg.Connection, dsn: str, empty: str, file: Path
) -> None:
    odd = "tab\tline\nback\\slash \\. \\N 'quote' \"double\" 🍕"
    await sql.execute("select messenger.send($1, $2, $3, 'odd')", past.lunch, past.alice, odd)

    (await admin("backup", str(file))).check_returncode()
    (await admin("restore", str(file), DATABASE_URL=empty)).check_returncode()

    assert await contents(empty) == await contents(dsn)
    assert file.stat().st_mode & 0o777 == 0o600
    there = await asyncpg.connect(empty)
    assert await there.fetchval("select text from inbox_drafts") == odd
    drafts = [
        await one.fetchval("select messenger.send($1, $2, 'next')", past.lunch, past.alice) for one in (sql, there)
    ]
    assert drafts[0] == drafts[1], "sequences go on"
    before = await there.fetchval("select max(position) from log_head")
    await there.execute("update users set name = 'by hand' where id = $1", past.alice)
    assert await there.fetchval("select max(position) from log_head") == before + 1, "triggers are awake"
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await there.execute("delete from audit")
    await there.close()
    assert (await admin("fsck", DATABASE_URL=empty)).returncode == 0


async def test_an_older_schema_is_migrated_and_a_newer_one_refused(
    admin: Admin, past: Past, sql: asyncpg.Connection, empty: str, file: Path, tmp_path: Path
) -> None:
    (await admin("backup", str(file))).check_returncode()
    older, newer = tmp_path / "older", tmp_path / "newer"
    rewritten(file, older, revisions=["1001"])  # its tables are the same, but for search
    rewritten(file, newer, revisions=["9000"], program="9.0")

    assert "made by version 9.0" in refusal(await admin("restore", str(newer), DATABASE_URL=empty), 4)
    assert (await admin("restore", str(older), DATABASE_URL=empty)).returncode == 0

    there = await asyncpg.connect(empty)
    head = await sql.fetchval("select version_num from alembic_version")
    assert await there.fetchval("select version_num from alembic_version") == head
    await there.close()


async def test_what_cannot_be_restored_is_refused_and_nothing_is_changed(
    admin: Admin, past: Past, dsn: str, postgres: str, empty: str, file: Path, tmp_path: Path
) -> None:
    (await admin("backup", str(file))).check_returncode()
    cut, rotten, foreign = tmp_path / "cut", tmp_path / "rotten", tmp_path / "foreign"
    cut.write_bytes(file.read_bytes()[:-100])
    rewritten(file, rotten, change=lambda name, data: data.replace(b"pizza", b"pasta"))
    foreign.write_text("no backup at all")

    assert "not empty" in refusal(await admin("restore", str(file)), 1)
    for one, reason in ((cut, "not all of one"), (foreign, "is no backup"), (rotten, "table messages is not what")):
        assert reason in refusal(await admin("restore", str(one), DATABASE_URL=empty), 1)
    assert "cannot be read" in refusal(await admin("restore", str(tmp_path / "nothing"), DATABASE_URL=empty), 1)
    guest = await asyncpg.connect(empty, server_settings={"application_name": "messenger"})
    assert "messenger (1)" in refusal(await admin("restore", str(file), DATABASE_URL=empty), 1)
    await guest.close()
    assert await contents(empty) == {}
    assert "there already" in refusal(await admin("backup", str(file)), 1)
    await left_alone(postgres, empty)
    assert (await admin("restore", str(file), DATABASE_URL=empty)).returncode == 0


def rewritten(file: Path, to: Path, change=lambda name, data: data, **manifest: object) -> None:
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if name == "manifest.json":
                data = msgspec.json.encode({**msgspec.json.decode(data), **manifest})
            new.writestr(name, data)


async def test_after_kill_9_a_restore_left_nothing_and_can_be_repeated(
    admin: Admin, past: Past, dsn: str, postgres: str, empty: str, file: Path, tmp_path: Path
) -> None:
    (await admin("backup", str(file))).check_returncode()

    await killed_at_the_brake(postgres, empty, "restore", str(file), folder=tmp_path, DATABASE_URL=empty)

    assert await contents(empty) == {}
    assert (await admin("restore", str(file), DATABASE_URL=empty)).returncode == 0
    assert await contents(empty) == await contents(dsn)


async def test_after_kill_9_a_backup_is_no_file_and_can_be_repeated(
    admin: Admin, past: Past, sql: asyncpg.Connection, dsn: str, empty: str, file: Path, tmp_path: Path
) -> None:
    async with sql.transaction():
        await sql.execute("lock table messages in access exclusive mode")
        process = started("backup", str(file), folder=tmp_path, DATABASE_URL=dsn)
        async with asyncio.timeout(60):
            while not await sql.fetchval("select exists (select from pg_locks where not granted)"):
                assert process.poll() is None
                await asyncio.sleep(0.02)
        assert file.with_name(f"{file.name}.part").exists()
        assert "Another backup" in refusal(await admin("backup", str(file)), 1)
        process.kill()
        process.wait()

    assert not file.exists()
    assert (await admin("backup", str(file))).returncode == 0
    assert [one.name for one in file.parent.glob(f"{file.name}*")] == [file.name]
    assert (await admin("restore", str(file), DATABASE_URL=empty)).returncode == 0


async def test_a_backup_that_finds_no_room_leaves_nothing(admin: Admin, past: Past, dsn: str, tmp_path: Path) -> None:
    assert "cannot be written" in refusal(await admin("backup", str(tmp_path / "no folder" / "file")), 1)
    process = started("backup", "-", folder=tmp_path, stdout="/dev/full", DATABASE_URL=dsn)
    assert await asyncio.to_thread(process.wait) == 1
