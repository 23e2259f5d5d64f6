"""Each word that is said is known once, found by its parts however long it is, and forgotten with its last message."""

import asyncio

import pytest
from alembic import command
from alembic.script import ScriptDirectory

from messenger.apps.search.store import searching
from messenger.db.schema import alembic_config
from tests.actors import Person
from tests.apps.search.finding import finds, indexed, is_true
from tests.apps.talk import says

WORDS = "select array_agg(word order by word) from search_words"


async def test_a_word_that_nobody_says_any_more_is_forgotten(alice, sql) -> None:
    lunch = await alice.opens_chat("lunch")
    path = f"/v1/chats/{lunch}/messages/{(await says(alice, lunch, 'needle in straw'))['message_id']}"
    other = f"/v1/chats/{lunch}/messages/{(await says(alice, lunch, 'Straw!'))['message_id']}"
    await indexed(sql)
    assert await sql.fetchval(WORDS) == ["in", "needle", "straw"]

    (await alice.asks("PATCH", path, {"text": "hay in straw"})).expecting(200)
    await indexed(sql)
    assert await sql.fetchval(WORDS) == ["hay", "in", "straw"]

    (await alice.asks("DELETE", path)).expecting(204)
    await indexed(sql)
    assert await sql.fetchval(WORDS) == ["straw"]
    assert await finds(alice, "straw") == ["Straw!"]

    (await alice.asks("DELETE", other)).expecting(204)
    await indexed(sql)
    assert await sql.fetchval(WORDS) is None


@pytest.mark.parametrize("place", [0, 14, 15, 254, 255, 256, 1000, 2700])
async def test_a_part_is_found_wherever_it_stands_in_a_long_word(alice, sql, place: int) -> None:
    lunch = await alice.opens_chat("lunch")
    part = "needle" * 40 + "n"
    said = "x" * place + part + "yyy" + "z" * (3000 - place)
    await says(alice, lunch, f"before {said} after")

    assert await finds(alice, part) == [f"before {said} after"]
    assert await finds(alice, f'"{part}yyy"') == [f"before {said} after"]
    assert await finds(alice, f"{part}z") == []
    assert await finds(alice, '"zz after"') == [f"before {said} after"]


@pytest.mark.parametrize("often", [0, 10_000], ids=["taken for common", "taken for rare"])
@pytest.mark.parametrize("number", [500, 501])
async def test_a_part_of_very_many_words_is_found(alice, sql, number: int, often: int, monkeypatch) -> None:
    monkeypatch.setattr(searching, "OFTEN", often)
    lunch = await alice.opens_chat("lunch")
    for first in range(0, number, 100):
        await says(alice, lunch, " ".join(f"a{n}needle" for n in range(first, min(first + 100, number))))
    await says(alice, lunch, "straw")
    await indexed(sql)
    assert (await sql.fetchval("select search_parts('%needle%')") is None) is (number > 500)

    assert len(await finds(alice, "needle")) == (number + 99) // 100
    assert len(await finds(alice, "needle a7needle")) == 1
    assert len(await finds(alice, '"7needle a8need"')) == 1


async def test_an_index_of_the_version_before_is_made_anew(start, dsn, sql) -> None:
    async with Person.registered(await start(APPS="auth,chats,messages"), "alice") as alice:
        lunch = await alice.opens_chat("lunch")
        await says(alice, lunch, "needle")
        config = alembic_config(dsn)
        before = ScriptDirectory.from_config(config).get_revision("1002").down_revision
        await asyncio.to_thread(command.downgrade, config, before)
        await sql.execute("select search_follow(500)")
        assert await sql.fetchval("select array_agg(ts::text) from search_documents") == ["'needl':1"]

        await asyncio.to_thread(command.upgrade, config, "head")
        alice.server = await start()

        assert await finds(alice, "needles") == ["needle"]
        assert await is_true(sql)
