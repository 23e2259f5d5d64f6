"""Demo people: made once, through the services, and never at the cost of what is there."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from messenger.run.admin import fsck
from messenger.settings import SettingError, read
from tests.actors import Person, Server
from tests.run.admin.conftest import Admin, refusal

EVERYTHING = (
    "select (select count(*) from users), (select count(*) from chats), (select count(*) from members),"
    " (select count(*) from messages), (select max(position) from log_head)"
)


async def test_demo_people_sign_in_and_find_their_chats_and_a_second_run_changes_nothing(
    admin: Admin, server: Server, dsn: str, sql: asyncpg.Connection
) -> None:
    first = await admin("seed")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("Made 3 people, 3 chats, 9 messages; 0 were there already.")
    made = await sql.fetchrow(EVERYTHING)

    second = await admin("seed")

    assert second.returncode == 0, second.stderr
    assert second.stdout.startswith("Nothing to do")
    assert await sql.fetchrow(EVERYTHING) == made
    assert await fsck.find_damage(dsn) == []
    for number, chats in ((1, 3), (2, 2), (3, 2)):
        async with Person.stranger(server) as person:
            await person.signs_in(f"test{number}@test.com", "test")
            assert len((await person.get("/v1/chats?limit=10")).expecting(200).json["chats"]) == chats


async def test_what_people_did_since_is_left_alone(admin: Admin, server: Server, sql: asyncpg.Connection) -> None:
    assert (await admin("seed")).returncode == 0
    async with Person.stranger(server) as person:
        await person.signs_in("test2@test.com", "test")
        group = next(chat for chat in (await person.get("/v1/chats?limit=10")).json["chats"] if chat["kind"] == "group")
        (await person.leaves(group["chat_id"])).expecting(204)
    before = await sql.fetchrow(EVERYTHING)

    again = await admin("seed")

    assert again.returncode == 0, again.stderr
    assert f"Left alone: message 2 of test2 in chat {group['chat_id']}" in again.stdout
    assert await sql.fetchrow(EVERYTHING) == before


async def test_somebody_who_has_the_name_keeps_it(admin: Admin, server: Server) -> None:
    async with Person.registered(server, "test1") as owner:
        assert (await admin("seed")).returncode == 0

        assert (await owner.get("/v1/users/me")).expecting(200).json["email"] is None
        async with Person.stranger(server) as demo:
            await demo.signs_in("test1@test.com", "test")
            assert demo.user_id != owner.user_id


async def test_two_that_seed_at_once_make_one_set(admin: Admin, sql: asyncpg.Connection) -> None:
    both = await asyncio.gather(admin("seed"), admin("seed"))

    assert [done.returncode for done in both] == [0, 0]
    assert tuple(await sql.fetchrow(EVERYTHING))[:4] == (3, 3, 7, 9)


async def test_a_strict_installation_still_has_demo_people(admin: Admin, server: Server) -> None:
    assert (await admin("seed", PASSWORD_MIN_LENGTH="12")).returncode == 0
    async with Person.stranger(server) as person:
        await person.signs_in("test3@test.com", "test")


async def test_production_refuses(admin: Admin, tmp_path: Path) -> None:
    said = refusal(await admin("seed", MODE="production"), 2)

    assert "messenger-admin create-user" in said
    with pytest.raises(SettingError, match="SEED_DEMO"):
        read({"MODE": "production", "SECRET_KEY": "k" * 43 + "=", "SEED_DEMO": "1", "DATA_DIR": str(tmp_path)})
