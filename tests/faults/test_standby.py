"""A standby is not the database: nothing is written there, and its head is old."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from messenger.app import create_app
from messenger.db import database, driver
from messenger.web.server import make_runner
from proof.lab.postgres import Postgres
from proof.lab.waiting import happens
from tests.actors import Person, Server
from tests.conftest import configured

Serve = Callable[[str], Awaitable[Server]]


@pytest.fixture
async def primary(tmp_path: Path) -> AsyncIterator[Postgres]:
    async with Postgres.made(tmp_path).running(schema=True) as one:
        yield one


@pytest.fixture
async def standby(primary: Postgres) -> AsyncIterator[Postgres]:
    async with primary.copied("standby").running() as one:
        yield one


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def serve(dsn: str) -> Server:
            runner = make_runner(create_app(configured(tmp_path, {}), dsn))
            return await stack.enter_async_context(Server.running(runner))

        yield serve


@pytest.mark.usefixtures("one_second")
async def test_on_a_standby_nothing_is_answered_until_it_is_promoted(
    primary: Postgres, tmp_path: Path, serve: Serve
) -> None:
    async with Person.registered(await serve(primary.dsn), "alice") as alice:
        chat = await alice.opens_chat("lunch")
        messages = f"/v1/chats/{chat}/messages"
        async with primary.copied("standby").running() as standby:
            await alice.post(messages, {"text": "the standby knows nothing of it"})
            alice.server = await serve(standby.dsn)

            sends = [await alice.post(messages, {"text": "hello"}) for _ in range(3)]
            page, ready = await alice.get(f"{messages}?limit=10"), await alice.get("/readyz")

            assert [one.code for one in (*sends, page)] == ["unavailable"] * 4
            assert (ready.status, ready.json["dependencies"]["database"]["ok"]) == (503, False)

            await asyncio.to_thread(standby.promote)

            async def is_ready() -> bool:
                return (await alice.get("/readyz")).status == 200

            await happens(is_ready, "ready after the promotion")
            (await alice.post(messages, {"text": "hello again"})).expecting(201)
            assert [one["text"] for one in (await alice.get(f"{messages}?limit=10")).json["messages"]] == [
                "hello again"
            ]


@pytest.mark.usefixtures("one_second")
async def test_behind_a_pooler_that_leads_to_a_standby_nothing_is_ready_and_no_fault_is_ours(
    primary: Postgres, tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler does not tell its clients which server stands behind a connection later."""
    async with Person.registered(await serve(primary.dsn), "alice") as alice:
        chat = await alice.opens_chat("lunch")
        async with primary.copied("standby").running() as standby:
            monkeypatch.setattr(driver, "TARGET", "any")
            alice.server = await serve(standby.dsn)

            sent = [await alice.post(f"/v1/chats/{chat}/messages", {"text": "hello"}) for _ in range(2)]
            changed = [await alice.changes(chat, chat_name="dinner") for _ in range(2)]
            database = (await alice.get("/readyz")).expecting(503).json["dependencies"]["database"]

            assert [one.code for one in (*sent, *changed)] == ["unavailable"] * 4
            assert database == {"ok": False, "detail": "is a standby, which takes no writes"}


async def test_of_several_hosts_the_one_that_takes_writes_is_used(
    primary: Postgres, standby: Postgres, serve: Serve
) -> None:
    both = f"postgresql://messenger@/postgres?host={standby.door},{primary.door}&port=5432,5432"

    async with Person.registered(await serve(both), "alice") as alice:
        chat = await alice.opens_chat("lunch")
        for _ in range(20):
            (await alice.post(f"/v1/chats/{chat}/messages", {"text": "hello"})).expecting(201)
        (await alice.get("/readyz")).expecting(200)


async def test_a_commit_that_waits_for_a_standby_is_never_cancelled(
    primary: Postgres, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancelled wait commits here alone: what was answered 503 holds, and after a failover it does not."""
    monkeypatch.setattr(database, "COMMAND_TIMEOUT", 0.5)
    sql = await asyncpg.connect(primary.dsn)

    async def waiting() -> int:
        return int(await sql.fetchval("select count(*) from pg_stat_activity where wait_event = 'SyncRep'"))

    async with Person.registered(await serve(primary.dsn), "alice") as alice, Person.stranger(alice.server) as bob:
        await primary.wait_for_standby("nobody")

        timed_out = await alice.post("/v1/auth/logout")
        hasty = asyncio.create_task(bob.registers("bob"))

        async def both_wait() -> bool:
            return await waiting() == 2

        await happens(both_wait, "the second commit to wait")
        hasty.cancel()
        await asyncio.gather(hasty, return_exceptions=True)
        refused = await alice.post("/v1/chats", {"chat_name": "lunch"})

        assert (timed_out.status, refused.status) == (503, 503)
        assert await waiting() == 2, "both commits still wait"
        await primary.wait_for_standby("")

        async def is_signed_out() -> bool:
            return (await alice.get("/v1/users/me")).status == 401

        await happens(is_signed_out, "the end of her session")
        await bob.signs_in("bob")
    await sql.close()
    assert "canceling" not in primary.data.with_suffix(".log").read_text()
