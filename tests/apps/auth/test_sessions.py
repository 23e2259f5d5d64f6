"""Sessions: one per device, ended at once and everywhere."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.actors import PASSWORD, Person

pytestmark = pytest.mark.shared

ME = "/v1/users/me"
SESSIONS = "/v1/auth/sessions"


def bearer(credentials):
    return {"Authorization": f"Bearer {credentials['access_token']}"}


async def test_signing_out_ends_every_credential_on_every_worker_at_once(alice, start):
    other = await start()
    login = await alice.signs_in()
    cookie = {"Cookie": login.cookies.output(attrs=[], header="", sep=";").strip()}
    alice.headers = {}
    every = [{"Authorization": f"session_id {login.json['session_id']}"}, bearer(login.json), cookie]
    for headers in every:
        assert (await alice.get(ME, headers=headers, server=other)).status == 200

    (await alice.post("/v1/auth/logout", headers=cookie)).expecting(200)

    for headers in every:
        for server in (alice.server, other):
            assert (await alice.get(ME, headers=headers, server=server)).expecting(401).code == "session-revoked"
    spent = await alice.post("/v1/auth/refresh", {"refresh_token": login.json["refresh_token"]})
    assert spent.expecting(401).code == "session-revoked"


async def test_a_device_has_one_session_and_other_devices_live_on(alice):
    async with alice.on_another_device(client_id="phone", device_name="My phone") as phone:
        async with alice.on_another_device(client_id="phone") as same_phone:
            assert (await phone.get(ME)).expecting(401).code == "session-revoked"
            assert (await same_phone.get(ME)).status == 200
            assert (await alice.get(ME)).status == 200


@pytest.mark.alone
async def test_ten_logins_of_one_device_at_once_leave_one_session(alice, sql):
    body = {"user_name": "alice", "password": PASSWORD, "client_id": "phone"}

    answers = await asyncio.gather(*(alice.post("/v1/auth/login", body) for _ in range(10)))

    assert [answer.status for answer in answers] == [200] * 10
    alive = "select count(*) from sessions where client_id = 'phone' and ended_at is null"
    assert await sql.fetchval(alive) == 1


@pytest.mark.alone
async def test_a_login_beyond_the_bound_ends_the_session_that_was_idle_the_longest(start, sql):
    server = await start(MAX_SESSIONS_PER_USER="3")
    async with AsyncExitStack() as stack:
        alice = await stack.enter_async_context(Person.registered(server, "alice", device_name="first"))
        bob = await stack.enter_async_context(Person.registered(server, "bob"))
        devices = [alice]
        for name in ("second", "third"):
            devices.append(await stack.enter_async_context(alice.on_another_device(device_name=name)))
        socket = await stack.enter_async_context(devices[1].connects())
        await sql.execute("update sessions set last_seen_at = now() - interval '1 minute' where device_name = 'second'")

        fourth = await stack.enter_async_context(alice.on_another_device(device_name="fourth"))

        assert await socket.closes() == 4502
        assert (await devices[1].get("/v1/users/me")).expecting(401).code == "session-revoked"
        seats = (await fourth.get("/v1/auth/sessions")).expecting(200).json["sessions"]
        assert {seat["device_name"] for seat in seats} == {"first", "third", "fourth"}
        told = await sql.fetchval("select detail from audit where event = 'session_ended'")
        assert told == "too many sessions"
        # A device that comes back takes its own place and nobody else's.
        await fourth.signs_in(client_id="phone")
        await fourth.signs_in(client_id="phone")
        assert (await alice.get("/v1/users/me")).status == 401
        assert [(await one.get("/v1/users/me")).status for one in (devices[2], bob)] == [200, 200]


@pytest.mark.alone
async def test_logins_at_once_do_not_pass_the_bound(start, sql):
    servers = [await start(MAX_SESSIONS_PER_USER="3"), await start(MAX_SESSIONS_PER_USER="3")]
    async with Person.registered(servers[0], "alice") as alice, Person.stranger(servers[0]) as nobody:
        body = {"login": alice.name, "password": PASSWORD}

        await asyncio.gather(*(nobody.post("/v1/auth/login", body, server=servers[n % 2]) for n in range(8)))

    assert await sql.fetchval("select count(*) from sessions where ended_at is null") == 3


async def test_the_list_shows_where_i_am_signed_in(alice, bob):
    async with alice.on_another_device(client_id="phone", device_name="My phone") as phone:
        listed = (await phone.get(SESSIONS)).expecting(200).json["sessions"]

        first, second = listed
        assert (first["client_id"], first["device_name"], first["current"]) == ("phone", "My phone", True)
        assert (second["client_id"], second["device_name"], second["current"]) == (None, None, False)
        assert not {first["id"], second["id"]} & {phone.credentials["session_id"], alice.credentials["session_id"]}


async def test_one_can_end_one_all_others_but_nobody_elses(alice, bob):
    async with alice.on_another_device() as phone, alice.on_another_device() as tablet:
        ids = {one["current"]: one["id"] for one in (await phone.get(SESSIONS)).json["sessions"]}

        stranger = await bob.asks("DELETE", f"{SESSIONS}/{ids[True]}")
        missing = await bob.asks("DELETE", f"{SESSIONS}/999999")
        for odd in ["0", "-1", "abc", "1.5", "1e3", str(2**63), "9" * 40, "%00"]:
            assert (await bob.asks("DELETE", f"{SESSIONS}/{odd}")).status == 404
        assert (stranger.status, stranger.code) == (missing.status, missing.code) == (404, "not-found")
        assert (await phone.get(ME)).status == 200

        (await alice.asks("DELETE", f"{SESSIONS}/{ids[True]}")).expecting(204)
        assert (await phone.get(ME)).expecting(401).code == "session-revoked"
        assert (await alice.asks("DELETE", f"{SESSIONS}/{ids[True]}")).status == 404

        (await alice.asks("DELETE", SESSIONS)).expecting(204)
        assert (await tablet.get(ME)).expecting(401).code == "session-revoked"
        assert (await alice.get(ME)).status == 200
        assert (await bob.get(ME)).status == 200


async def test_an_idle_session_expires_and_refreshing_wakes_it(alice, sql):
    await sql.execute("update sessions set last_seen_at = now() - interval '61 minutes'")

    for headers in [alice.headers, bearer(alice.credentials)]:
        assert (await alice.get(ME, headers=headers)).expecting(401).code == "session-expired"
    renewed = await alice.post("/v1/auth/refresh", {"refresh_token": alice.credentials["refresh_token"]})

    assert (await alice.get(ME)).status == 200
    assert (await alice.get(ME, headers=bearer(renewed.expecting(200).json))).status == 200


@pytest.mark.alone
async def test_a_session_that_nothing_can_wake_is_not_listed(alice, sql):
    async with alice.on_another_device() as phone:
        await sql.execute("update sessions set last_seen_at = now() - interval '2 hours' where id = 1")
        assert len((await phone.get(SESSIONS)).json["sessions"]) == 2

        await sql.execute("update refresh_tokens set expires_at = now() where session_id = 1")
        assert len((await phone.get(SESSIONS)).json["sessions"]) == 1


@pytest.mark.alone
async def test_reading_moves_last_seen_at_once_a_minute_at_most(alice, sql):
    await sql.execute("update sessions set last_seen_at = now() - interval '59 minutes'")

    await asyncio.gather(*(alice.get(ME) for _ in range(10)))

    seen = "select last_seen_at from sessions"
    moved = await sql.fetchval(seen)
    assert await sql.fetchval("select $1 > now() - interval '10 seconds'", moved)
    await alice.get(ME)
    assert await sql.fetchval(seen) == moved


async def test_no_use_puts_the_last_day_off(alice, sql):
    await sql.execute("update sessions set expires_at = now()")

    assert (await alice.get(ME)).expecting(401).code == "session-expired"
    refreshed = await alice.post("/v1/auth/refresh", {"refresh_token": alice.credentials["refresh_token"]})
    assert refreshed.expecting(401).code == "session-expired"


@pytest.mark.alone
async def test_what_is_long_over_is_swept_away(server, alice, bob, sql):
    from messenger.apps.auth.sweep import sweep
    from messenger.web.app_keys import DATABASE

    await alice.post("/v1/auth/ws-ticket")
    await sql.execute(
        "insert into login_failures(account, address, failed_at) values ('x', 'y', now() - interval '1 h')"
    )
    await sql.execute("update ws_tickets set expires_at = now() - interval '1 second'")
    ended = "update sessions set ended_at = now() - interval '31 days' where user_id = $1"
    await sql.execute(ended, int(alice.user_id))

    await sweep(server.runner.app[DATABASE])

    tables = ["sessions", "refresh_tokens", "ws_tickets", "login_failures"]
    assert [await sql.fetchval(f"select count(*) from {table}") for table in tables] == [1, 1, 0, 0]
    assert (await bob.get(ME)).status == 200


class TestPassword:
    CHANGE = {"current_password": PASSWORD, "new_password": "a new horse"}

    async def test_a_new_password_ends_all_other_sessions(self, alice, nobody):
        async with alice.on_another_device() as phone:
            (await alice.post("/v1/auth/password", self.CHANGE)).expecting(204)

            assert (await alice.get(ME)).status == 200
            assert (await phone.get(ME)).expecting(401).code == "session-revoked"
            token = {"refresh_token": phone.credentials["refresh_token"]}
            assert (await phone.post("/v1/auth/refresh", token)).expecting(401).code == "session-revoked"
        old = await nobody.post("/v1/auth/login", {"user_name": "alice", "password": PASSWORD})
        assert old.expecting(401).code == "bad-password"
        await nobody.signs_in("alice", "a new horse")

    async def test_without_the_current_one_nothing_changes(self, alice, nobody):
        wrong = await alice.post("/v1/auth/password", self.CHANGE | {"current_password": "wrong"})
        short = await alice.post("/v1/auth/password", self.CHANGE | {"new_password": "abc"})
        missing = await alice.post("/v1/auth/password", {"new_password": "a new horse"})

        assert wrong.expecting(403).code == "forbidden"
        assert short.expecting(400).json["errors"][0]["pointer"] == "/new_password"
        assert missing.expecting(400).json["errors"][0]["pointer"] == "/current_password"
        await nobody.signs_in("alice")


class TestRefresh:
    async def refresh(self, person, token, **options):
        return await person.post("/v1/auth/refresh", {"refresh_token": token}, **options)

    async def test_a_refresh_token_gives_a_new_pair(self, alice):
        first = alice.credentials

        second = (await self.refresh(alice, first["refresh_token"])).expecting(200)
        third = (await self.refresh(alice, second.json["refresh_token"])).expecting(200)

        assert len({first["refresh_token"], second.json["refresh_token"], third.json["refresh_token"]}) == 3
        assert second.headers["Cache-Control"] == "no-store"
        assert (await alice.get(ME, headers=bearer(third.json))).status == 200

    async def test_who_lost_the_answer_may_ask_again_for_ten_seconds(self, alice, start):
        token = alice.credentials["refresh_token"]
        first = (await self.refresh(alice, token)).expecting(200)

        again = (await self.refresh(alice, token, server=await start())).expecting(200)

        assert again.json["refresh_token"] == first.json["refresh_token"]

    async def test_a_rotated_key_does_not_change_the_answer_to_a_retry(self, alice, start, config):
        from cryptography.fernet import Fernet

        token = alice.credentials["refresh_token"]
        first = (await self.refresh(alice, token)).expecting(200)
        rotated = await start(SECRET_KEY=f"{Fernet.generate_key().decode()},{config.auth.secret_key}")

        again = (await self.refresh(alice, token, server=rotated)).expecting(200)

        assert again.json["refresh_token"] == first.json["refresh_token"]

    @pytest.mark.alone
    @pytest.mark.parametrize("how", ["after ten seconds", "after its successor was used"])
    async def test_a_spent_token_shown_again_ends_the_session(self, alice, sql, how):
        token = alice.credentials["refresh_token"]
        last = (await self.refresh(alice, token)).json
        if how == "after ten seconds":
            await sql.execute("update refresh_tokens set used_at = used_at - interval '11 seconds'")
        else:
            last = (await self.refresh(alice, last["refresh_token"])).json

        async with alice.on_another_device() as phone:
            assert (await self.refresh(alice, token)).expecting(401).code == "token-reused"

            assert (await self.refresh(alice, last["refresh_token"])).expecting(401).code == "session-revoked"
            assert (await alice.get(ME, headers=bearer(last))).expecting(401).code == "session-revoked"
            assert (await alice.get(ME)).expecting(401).code == "session-revoked"
            assert (await phone.get(ME)).status == 200
        assert await sql.fetchval("select count(*) from audit where event = 'refresh_reused'") == 1

    @pytest.mark.alone
    async def test_of_a_hundred_refreshes_at_once_all_have_the_same_successor(self, alice, start, sql):
        servers, token = (alice.server, await start()), alice.credentials["refresh_token"]

        answers = await asyncio.gather(*(self.refresh(alice, token, server=servers[n % 2]) for n in range(100)))

        given = [answer for answer in answers if answer.status == 200]
        assert given and all(
            answer.status == 503 for answer in answers if answer not in given
        )  # 503: no connection free
        assert len({answer.json["refresh_token"] for answer in given}) == 1
        assert await sql.fetchval("select count(*) from refresh_tokens where used_at is null") == 1

    async def test_what_is_no_refresh_token_is_refused(self, alice, sql):
        for token in ["", "x", "x" * 43, "x" * 60_000, alice.credentials["access_token"], "ы" * 43]:
            assert (await self.refresh(alice, token)).expecting(401).code == "token-invalid"
        for token in [None, 1, ["x"], {}]:
            assert (await self.refresh(alice, token)).expecting(400).code == "bad-parameters"
        await sql.execute("update refresh_tokens set expires_at = now()")
        late = await self.refresh(alice, alice.credentials["refresh_token"])
        assert late.expecting(401).code == "session-expired"


@pytest.mark.alone
async def test_the_audit_tells_the_story_and_cannot_be_rewritten(server, nobody, sql):
    import asyncpg

    async with Person.registered(server, "alice") as alice:
        wrong = {"user_name": "alice", "password": "wrong"}
        await nobody.post("/v1/auth/login", wrong, headers={"X-Request-ID": "x-1"})
        await alice.post("/v1/auth/password", TestPassword.CHANGE)
        await alice.signs_out()
        await alice.signs_in(password="a new horse")
        await alice.asks("DELETE", ME)

    rows = await sql.fetch("select event, user_id, address, request_id from audit order by id")
    story = "registered login login_failed password_changed logout session_ended login account_deleted session_ended"
    assert [row["event"] for row in rows] == story.split()
    assert {row["user_id"] for row in rows} == {int(alice.user_id)}
    assert {row["address"] for row in rows} == {"127.0.0.1"}
    assert rows[2]["request_id"] == "x-1"
    for change in ["update audit set event = 'x'", "delete from audit", "truncate audit"]:
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await sql.execute(change)
