"""A session whose socket is open is in use; one that has run out closes its sockets."""

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from messenger.apps.auth.context import AUTH
from messenger.apps.auth.renewal import renew
from messenger.web.app_keys import LOG
from tests.actors import Person, Server
from tests.sockets import Form

ME = "/v1/users/me"
PASS = "update sessions set last_seen_at = last_seen_at - interval '59 minutes'"  # the lifetime is an hour


async def period_ends(server: Server) -> None:
    await renew(server.runner.app[AUTH], server.runner.app[LOG].hub)


@pytest.mark.parametrize("opened", [Person.connects, Person.streams], ids=["socket", "stream"])
async def test_what_is_open_keeps_its_session_and_no_other(
    alice: Person, start: Any, sql: asyncpg.Connection, opened: Callable[[Person], Any]
) -> None:
    other = await start()  # which has not heard of them
    async with alice.on_another_device() as phone, opened(alice):
        await sql.execute(PASS)
        await period_ends(alice.server)
        await sql.execute(PASS)

        assert (await alice.get(ME, server=other)).status == 200
        assert (await phone.get(ME, server=other)).expecting(401).code == "session-expired"


async def test_on_two_workers_it_is_one_session(alice: Person, start: Any, sql: asyncpg.Connection) -> None:
    other = await start()
    async with alice.connects() as here, alice.connects(other) as there:
        await sql.execute(PASS)
        await period_ends(alice.server)
        await period_ends(other)

        await here.asks("ping")
        await there.asks("ping")
        assert await sql.fetchval("select count(*) from sessions where last_seen_at > now() - interval '1 minute'") == 1


@pytest.mark.parametrize("end", ["expires_at = now()", "last_seen_at = now() - interval '1 hour'"])
async def test_a_session_that_has_run_out_closes_its_sockets(
    alice: Person, bob: Person, sql: asyncpg.Connection, end: str
) -> None:
    async with alice.connects() as socket, bob.connects() as others:
        await sql.execute(f"update sessions set {end} where user_id = $1", int(alice.user_id))

        await period_ends(alice.server)

        assert await socket.closes() == 4502
        await others.asks("ping")


@pytest.mark.parametrize("form", ["sse", "ndjson"])
async def test_a_session_that_has_run_out_ends_its_streams(alice: Person, sql: asyncpg.Connection, form: Form) -> None:
    async with alice.streams(form) as stream:
        await sql.execute("update sessions set expires_at = now()")

        await period_ends(alice.server)

        await stream.closes()


async def test_somebody_who_ran_out_on_the_way_in_is_not_let_in(alice: Person, sql: asyncpg.Connection) -> None:
    await sql.execute("update sessions set expires_at = now()")
    log = alice.server.runner.app[LOG]
    session_id = await sql.fetchval("select id from sessions")

    _, _, is_signed_in = await log.reader.memberships(int(alice.user_id), session_id)

    assert not is_signed_in


async def test_the_server_does_so_by_itself(start: Any, sql: asyncpg.Connection) -> None:
    server = await start(SESSION_LIFETIME="20")
    async with Person.registered(server, "alice") as alice, Person.registered(server, "bob") as bob:
        async with alice.connects() as socket, bob.connects() as others:
            back = (
                "update sessions set last_seen_at = now() - interval '10 s' where user_id = $1 returning last_seen_at"
            )
            before = await sql.fetchval(back, int(alice.user_id))
            await sql.execute("update sessions set expires_at = now() where user_id = $1", int(bob.user_id))

            assert await others.closes() == 4502
            now = await sql.fetchval("select last_seen_at from sessions where user_id = $1", int(alice.user_id))
            assert now > before
            await socket.asks("ping")
