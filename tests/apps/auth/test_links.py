"""Links that sign somebody in: once, soon, and only whom they were made for."""

import asyncio

import pytest

from messenger.apps.auth import service
from messenger.apps.auth.context import AUTH
from messenger.identity import Caller, UserId
from tests.actors import PASSWORD

LINK, ME = "/v1/auth/link", "/v1/users/me"


async def link_for(person, seconds=900.0):
    auth = person.server.runner.app[AUTH]
    return await service.make_link(auth, UserId(int(person.user_id)), seconds, Caller("messenger-admin", ""))


def follows(person, token, **options):
    return person.post(LINK, {"token": token, **options.pop("more", {})}, **options)


async def test_a_link_answers_as_a_login_does_and_only_once(alice, nobody, sql):
    token = await link_for(alice)

    answer = await follows(nobody, token, more={"client_id": "laptop-1", "device_name": "My laptop"})
    again = await follows(nobody, token)

    login = await nobody.post("/v1/auth/login", {"user_name": "alice", "password": PASSWORD})
    assert set(answer.expecting(200).json) == set(login.expecting(200).json)
    assert (answer.json["user_id"], answer.headers["Cache-Control"]) == (alice.user_id, "no-store")
    assert "messenger" in answer.cookies
    assert again.expecting(401).code == "token-invalid"
    assert "Set-Cookie" not in again.headers
    nobody.carries(answer.json)
    assert (await nobody.get(ME)).expecting(200).json["user_name"] == "alice"
    devices = (await nobody.get("/v1/auth/sessions")).expecting(200).json["sessions"]
    assert [one["device_name"] for one in devices if one["current"]] == ["My laptop"]
    told = await sql.fetch("select event, detail from audit where event in ('link_made', 'login') order by id")
    assert [tuple(row) for row in told] == [("link_made", ""), ("login", "by link"), ("login", "")]


async def test_of_eight_who_follow_one_link_one_gets_in(alice, nobody, start):
    servers, token = (alice.server, await start()), await link_for(alice)

    answers = await asyncio.gather(*(follows(nobody, token, server=servers[n % 2]) for n in range(8)))

    assert [answer.status for answer in answers].count(200) == 1
    assert {answer.code for answer in answers if answer.status != 200} == {"token-invalid"}


async def test_one_who_knows_no_password_and_one_who_guessed_too_often_get_in(alice, nobody, sql):
    await sql.execute("update users set password_hash = null")
    for _ in range(11):
        await nobody.post("/v1/auth/login", {"user_name": "alice", "password": "wrong"})

    assert (await follows(nobody, await link_for(alice))).status == 200


async def test_a_late_a_foreign_and_no_token_open_nothing(alice, bob, nobody, sql):
    late = await link_for(bob)
    await sql.execute("update sign_in_links set expires_at = now()")
    good = await link_for(alice)
    assert good not in str(await sql.fetch("select * from sign_in_links"))

    for token in (late, "x" * 43, "", good[:-1], good + "=", alice.credentials["session_id"]):
        assert (await follows(nobody, token)).expecting(401).code == "token-invalid"
    for wrong in ({}, {"token": 5}, {"token": None}, {"token": good, "client_id": "x" * 65}):
        assert (await nobody.post(LINK, wrong)).expecting(400).code == "bad-parameters"
    assert (await follows(nobody, good)).status == 200


async def test_a_link_ends_with_the_account_and_with_its_password(alice, bob, nobody):
    of_alice, of_bob = await link_for(alice), await link_for(bob)

    (await alice.asks("DELETE", ME)).expecting(204)
    (await bob.post("/v1/auth/password", {"current_password": PASSWORD, "new_password": "a new horse"})).expecting(204)

    for token in (of_alice, of_bob):
        assert (await follows(nobody, token)).expecting(401).code == "token-invalid"
    with pytest.raises(service.UserNotFound):
        await link_for(alice)
    assert (await follows(nobody, await link_for(bob))).status == 200


async def test_late_links_are_swept_away(alice, server, sql):
    from messenger.apps.auth.sweep import sweep
    from messenger.web.app_keys import DATABASE

    await link_for(alice)
    await sql.execute("update sign_in_links set expires_at = now() - interval '1 second'")
    await link_for(alice)

    await sweep(server.runner.app[DATABASE])

    assert await sql.fetchval("select count(*) from sign_in_links where expires_at > now()") == 1
    assert await sql.fetchval("select count(*) from sign_in_links") == 1


async def test_no_log_line_repeats_a_token(alice, nobody, caplog):
    caplog.set_level("DEBUG")
    token = await link_for(alice)

    answers = [
        await follows(nobody, token, more={"client_id": 7}),
        await follows(nobody, token),
        await follows(nobody, token),
    ]

    assert [answer.status for answer in answers] == [400, 200, 401]
    assert token not in caplog.text + b"".join(answer.body for answer in answers).decode()


class TestTooManyWrongLinks:
    @pytest.fixture
    def settings(self):
        return {"LOGIN_TRIES_PER_ADDRESS": "3", "TRUSTED_PROXIES": "127.0.0.1"}

    async def test_an_address_has_so_many_tries_with_passwords_and_links_together(self, alice, nobody):
        token, elsewhere = await link_for(alice), {"X-Forwarded-For": "192.0.2.7"}
        await nobody.post("/v1/auth/login", {"user_name": "alice", "password": "wrong"})

        tries = [await follows(nobody, f"{n}" * 43) for n in range(2)]
        refused = await follows(nobody, token)

        assert [answer.status for answer in tries] == [401, 401]
        assert refused.expecting(429).code == "request-limit-exceeded"
        assert int(refused.headers["Retry-After"]) > 0
        assert (await follows(nobody, token, headers=elsewhere)).status == 200
