"""What was acknowledged before a question is in its answer, whichever process is asked or follows the log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from messenger.apps.search import index
from messenger.apps.search.store.index import FOLLOWER_LOCK
from proof.lab.waiting import happens
from tests.actors import Person, Server
from tests.apps.search.finding import begins, ends, finds, indexed, is_true, page, search
from tests.apps.talk import fill, says
from tests.waits import HERE

TURNS = 50
WAITERS = f"select count(*) from pg_locks where locktype = 'advisory' and objid = $1 and not granted and {HERE}"


@asynccontextmanager
async def nobody_follows(sql: asyncpg.Connection) -> AsyncIterator[None]:
    """As if another process took a step that does not end."""
    await sql.execute(f"select pg_advisory_lock({FOLLOWER_LOCK})")
    yield
    await sql.execute("select pg_advisory_unlock_all()")


@pytest.fixture
async def other(start) -> Server:
    return await start()


async def test_what_was_just_said_is_found_on_another_server(alice, other) -> None:
    lunch = await alice.opens_chat("lunch")

    for number in range(TURNS):
        await says(alice, lunch, f"needle{number}")
        found = await search(alice, f"needle{number}", other)
        assert ([hit["message"]["text"] for hit in found["hits"]], found["complete"]) == ([f"needle{number}"], True)


async def test_what_was_just_said_is_found_in_the_background(alice, other) -> None:
    lunch = await alice.opens_chat("lunch")

    for number in range(TURNS // 5):
        await says(alice, lunch, f"needle{number}")
        task = await begins(alice, f"needle{number}")
        assert await ends(alice, task) == "SUCCESS"
        found = await page(alice, task)
        assert ([hit["text"] for hit in found["messages"]], found["complete"]) == ([f"needle{number}"], True)


async def test_what_was_just_edited_or_deleted_is_found_as_it_is_now(alice, other) -> None:
    lunch = await alice.opens_chat("lunch")

    for number in range(10):
        path = f"/v1/chats/{lunch}/messages/{(await says(alice, lunch, f'straw{number}'))['message_id']}"
        (await alice.asks("PATCH", path, {"text": f"needle{number}"})).expecting(200)
        found = await search(alice, f"needle{number}", other)
        assert [hit["message"]["text"] for hit in found["hits"]] == [f"needle{number}"]
        (await alice.asks("DELETE", path)).expecting(204)
        assert await finds(alice, f"needle{number}") == []


async def test_a_question_waits_for_the_step_of_another_process(alice, other, sql) -> None:
    lunch = await alice.opens_chat("lunch")
    async with nobody_follows(sql):
        await says(alice, lunch, "needle")
        asked = asyncio.create_task(search(alice, "needle", other))

        async def waits() -> bool:
            return bool(await sql.fetchval(WAITERS, FOLLOWER_LOCK))

        await happens(waits, "the question waits")
    found = await asked

    assert ([hit["message"]["text"] for hit in found["hits"]], found["complete"]) == (["needle"], True)


async def test_when_the_index_cannot_follow_the_answer_comes_all_the_same_and_says_so(alice, sql, monkeypatch) -> None:
    monkeypatch.setattr(index, "LONGEST_WAIT", 0.2)
    lunch = await alice.opens_chat("lunch")
    await says(alice, lunch, "needle one")
    await indexed(sql)
    async with nobody_follows(sql):
        await says(alice, lunch, "needle two")

        found = await search(alice, "needle")
        task = await begins(alice, "needle")
        assert await ends(alice, task) == "SUCCESS"
        status = (await alice.get(f"/v1/chats/search/status/{task}")).json
        fetched = await page(alice, task)

    assert ([hit["message"]["text"] for hit in found["hits"]], found["complete"]) == (["needle one"], False)
    assert status == {"status": "SUCCESS", "progress": 100, "complete": False}
    assert ([hit["text"] for hit in fetched["messages"]], fetched["complete"]) == (["needle one"], False)
    again = await search(alice, "needle", order="recent")
    assert [hit["message"]["text"] for hit in again["hits"]] == ["needle two", "needle one"]
    assert again["complete"] is True
    assert await is_true(sql)


async def test_an_index_that_is_far_behind_is_brought_up_by_the_question(start, sql) -> None:
    async with Person.registered(await start(APPS="auth,chats,messages"), "alice") as alice:
        lunch = await alice.opens_chat("lunch")
        await fill(sql, lunch, alice, 4500)  # three steps

        alice.server = await start()
        found = await search(alice, "filled", order="recent", limit=1)

        assert ([hit["message"]["text"] for hit in found["hits"]], found["complete"]) == (["filled 0"], True)


async def test_many_questions_at_once_share_the_steps(alice, other, sql) -> None:
    lunch = await alice.opens_chat("lunch")

    async def says_and_finds(number: int) -> bool:
        await says(alice, lunch, f"needle{number}")
        return bool((await search(alice, f"needle{number}", (alice.server, other)[number % 2]))["hits"])

    assert all(await asyncio.gather(*(says_and_finds(number) for number in range(TURNS))))
    assert await is_true(sql)
