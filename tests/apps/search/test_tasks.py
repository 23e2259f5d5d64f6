"""Searches in the background: their states from outside, pages that are fetched once, and who may see what."""

import asyncio

import pytest

from messenger.apps.search import tasks
from messenger.apps.search.index import Index
from messenger.apps.search.results.postgres import PostgresResults
from messenger.apps.search.schemas import TakenTask
from messenger.db.database import Database
from messenger.log.store import append
from tests.actors import Person
from tests.apps.search.finding import PATIENCE, begins, ends, fetches, indexed, page, state
from tests.apps.talk import says


async def test_a_search_is_begun_ends_and_its_hits_are_fetched_newest_first_and_once(bob, lunch, sql) -> None:
    task = await begins(bob)
    assert await ends(bob, task) == "SUCCESS"
    answer = (await bob.get(f"/v1/chats/search/status/{task}")).json
    assert answer == {"status": "SUCCESS", "progress": 100, "complete": True}

    first = await page(bob, task, 2)
    assert [hit["text"] for hit in first["messages"]] == ["pizza 4", "pizza 3"]
    assert first["messages"][0] == {
        "message_id": first["messages"][0]["message_id"],
        "chat_id": lunch,
        "text": "pizza 4",
        "highlights": [[0, 5]],
    }
    assert await fetches(bob, task, 2) == ["pizza 2", "pizza 1"]
    last = await page(bob, task, 2, **{"from": "5"})
    assert [hit["text"] for hit in last["messages"]] == ["pizza 0"]
    assert await page(bob, task, 2, **{"from": last["next"]["iterator"]}) == {**last, "messages": []}
    assert await fetches(bob, task) == []
    assert await sql.fetchval("select count(*) from search_results") == 0
    assert await state(bob, task) == "SUCCESS"


@pytest.mark.parametrize("settings", [{"SEARCH_DELAY": "1"}])
async def test_its_states_are_seen_from_outside(alice, sql) -> None:
    lunch = await alice.opens_chat("lunch")
    await says(alice, lunch, "pizza")
    await indexed(sql)

    seen: list[str] = []
    task = await begins(alice)
    async with asyncio.timeout(PATIENCE):
        while "SUCCESS" not in seen:
            now = await state(alice, task)
            seen += [now] if now not in seen else []
            if len(seen) == 1:  # for a second nobody works on it, for another one its end is held back
                assert await fetches(alice, task) == []

    assert seen == ["WAITING", "IN_PROCESS", "SUCCESS"]
    assert await fetches(alice, task) == ["pizza"]


async def test_who_asked_hears_how_it_goes_on_and_nobody_else_does(alice, bob, lunch) -> None:
    async with bob.connects() as his, bob.streams() as stream, alice.connects() as hers:
        task = await begins(bob)
        progress, finished = await his.hears("search_progress"), await his.hears("search_finished")
        assert await stream.hears("search_finished") == finished
        await says(alice, lunch, "the end")
        await his.hears("new_message")
        await hers.asks("ping")

    assert {**progress, "cursor": ""} == {
        "type": "search_progress",
        "cursor": "",
        "task_id": task,
        "status": "IN_PROCESS",
        "progress": 0,
    }
    assert (finished["task_id"], finished["status"], finished["progress"]) == (task, "SUCCESS", 100)
    assert not [one for one in hers.heard if one["type"].startswith("search")]


async def test_what_is_too_short_or_too_long_is_refused(alice) -> None:
    for words in ("", "     ", "a", "abc", "  abc  ", "\u00a0abc", "x" * 257, "x" * 50_000, 7, None, ["abcd"]):
        answer = await alice.post("/v1/chats/search", {"message": words})
        assert (answer.status, answer.code) == (400, "bad-parameters"), words
    assert (await alice.post("/v1/chats/search", {})).code == "bad-parameters"
    assert (await alice.post("/v1/chats/search", {"message": "w " * 100_000})).code == "too-large"
    for raw in (rb'{"message": "nul \u0000"}', rb'{"message": "\ud800abcd"}'):
        assert (await alice.post("/v1/chats/search", data=raw)).code == "bad-parameters"
    for words in ("abcd", "x" * 256, "a & | ( :*", "и на the", '""""'):
        assert await ends(alice, await begins(alice, words)) == "SUCCESS"


@pytest.mark.parametrize("settings", [{"SEARCH_DELAY": "60"}])
async def test_somebody_has_only_so_many_searches_open_and_others_are_not_hindered(alice, bob, sql) -> None:
    await sql.execute(
        "insert into search_tasks (asker_id, text, expires_at)"
        " select $1, 'pizza', clock_timestamp() + interval '1 hour' from generate_series(1, 15)",
        int(bob.user_id),
    )

    answers = await asyncio.gather(*(bob.post("/v1/chats/search", {"message": "pizza"}) for _ in range(12)))

    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) == 7, "they come at the same time and are counted one after the other"
    assert {(one.code, one.headers["Retry-After"]) for one in refused} == {("request-limit-exceeded", "5")}
    (await alice.post("/v1/chats/search", {"message": "pizza"})).expecting(201)


async def test_somebody_elses_search_is_not_there(alice, bob, mallory, lunch) -> None:
    task = await begins(bob)
    await ends(bob, task)
    for person in (alice, mallory):
        for path in ("/v1/chats/search/status/{}", "/v1/chats/search/{}/messages?limit=10"):
            theirs, nothing = await person.get(path.format(task)), await person.get(path.format("999999"))
            assert (theirs.status, theirs.code) == (nothing.status, nothing.code) == (404, "task-not-found")
    assert len(await fetches(bob, task)) == 5


async def test_the_word_search_is_no_chat(alice, lunch) -> None:
    assert (await alice.get("/v1/chats/search")).expecting(405).headers["Allow"] == "POST"
    assert (await alice.get(f"/v1/chats/{lunch}")).status == 200


async def test_a_chat_left_after_the_search_does_not_show_its_hits(alice, bob, lunch, sql) -> None:
    other = await alice.opens_chat("other", [bob])
    gone = await says(alice, other, "pizza gone")
    await says(alice, other, "pizza elsewhere")
    await indexed(sql)
    task = await begins(bob)
    await ends(bob, task)

    (await bob.leaves(lunch)).expecting(204)
    (await alice.asks("DELETE", f"/v1/chats/{other}/messages/{gone['message_id']}")).expecting(204)

    assert await fetches(bob, task, 1) == ["pizza elsewhere"]
    assert await fetches(bob, task, 1) == []
    assert await sql.fetchval("select count(*) from search_results") == 0


async def test_many_chats_are_searched_in_parts_and_progress_is_told(alice, sql) -> None:
    await sql.execute(
        "insert into chats (name, head_id) select 'crowd', 1 from generate_series(1, 250);"
        f"insert into members (chat_id, user_id) select id, {alice.user_id} from chats"
    )
    lunch = await alice.opens_chat("lunch")
    await says(alice, lunch, "pizza")
    await indexed(sql)

    async with alice.connects() as socket:
        task = await begins(alice)
        finished = await socket.hears("search_finished")

    told = [one["progress"] for one in socket.heard if one["type"] == "search_progress"]
    assert (told, finished["progress"]) == ([0, 33, 66], 100)
    assert await fetches(alice, task) == ["pizza"]


async def test_work_whose_worker_died_is_done_by_another_and_a_hopeless_task_fails(bob, lunch, sql) -> None:
    died = "insert into search_tasks (asker_id, text, status, attempts, lease_until, expires_at) values"
    died += " ($1, 'pizza', 'IN_PROCESS', $2, now() - interval '1 s', now() + interval '1 hour') returning id"
    again = str(await sql.fetchval(died, int(bob.user_id), 1))
    spent = str(await sql.fetchval(died, int(bob.user_id), 3))
    late = str(
        await sql.fetchval(
            "insert into search_tasks (asker_id, text, created_at, expires_at)"
            " values ($1, 'pizza', now() - interval '2 minutes', now() + interval '1 hour') returning id",
            int(bob.user_id),
        )
    )

    assert [await ends(bob, task) for task in (again, spent, late)] == ["SUCCESS", "FAILED", "FAILED"]
    assert len(await fetches(bob, again)) == 5
    assert await fetches(bob, spent) == []


async def test_a_task_that_always_stumbles_fails_after_three_tries_and_others_go_on(bob, lunch, sql) -> None:
    await sql.execute("alter table search_tasks add constraint no check (status <> 'SUCCESS' or text <> 'poison')")

    poison = await begins(bob, "poison")
    assert await ends(bob, await begins(bob)) == "SUCCESS"

    assert await ends(bob, poison) == "FAILED"
    assert await sql.fetchval("select attempts from search_tasks where id = $1", int(poison)) == 3


async def test_a_worker_that_comes_late_finishes_nothing(bob, lunch, dsn, sql) -> None:
    task = await begins(bob)
    await ends(bob, task)
    row = await sql.fetchrow("select * from search_tasks where id = $1", int(task))
    late = TakenTask(int(task), int(bob.user_id), "pizza", row["attempts"] - 1)
    db = Database(dsn, append=append)

    await tasks.do(db, PostgresResults(), Index(db.connections), late, 0)

    await db.close()
    assert len(await fetches(bob, task)) == 5
    assert await fetches(bob, task) == []


async def test_when_another_worker_takes_a_search_over_nothing_of_the_first_is_left_behind(
    bob, lunch, dsn, monkeypatch
) -> None:
    monkeypatch.setattr(tasks, "BEAT", 0.01)
    task = await begins(bob)
    await ends(bob, task)
    db = Database(dsn)
    before = asyncio.all_tasks()

    await tasks.do(db, PostgresResults(), Index(db.connections), TakenTask(int(task), int(bob.user_id), "pizza", 0), 60)

    left = [one for one in asyncio.all_tasks() - before if "_search" in repr(one)]
    await db.close()
    assert left == []


async def test_without_sign_in_everything_is_searched(lunch, start) -> None:
    rig = await start(AUTH_DISABLED="true")
    async with Person.stranger(rig) as somebody:
        task = await begins(somebody)
        assert await ends(somebody, task) == "SUCCESS"
        assert len(await fetches(somebody, task)) == 5
