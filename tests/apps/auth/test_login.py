"""Signing in with a name and a password, and what guessing costs."""

import asyncio

import pytest
from argon2 import PasswordHasher

from messenger.apps.auth import passwords
from messenger.apps.auth.context import AUTH
from messenger.apps.auth.limits import login_attempt as counted
from tests.actors import PASSWORD
from tests.commands import HASHER
from tests.waits import SOMEBODY_WAITS, WAITERS

pytestmark = pytest.mark.shared

LOGIN = "/v1/auth/login"


def guess(person, name="alice", password="wrong", **options):
    return person.post(LOGIN, {"user_name": name, "password": password}, **options)


async def until(sql, claim):
    async with asyncio.timeout(10):
        while not await sql.fetchval(claim):
            await asyncio.sleep(0.005)


def verified(server):
    return server.runner.app[AUTH].passwords.verified


async def test_the_answer_to_a_login_is_all_one_needs(nobody):
    await nobody.registers("ann", email="ann@example.org")

    answer = await nobody.signs_in("ANN")

    assert set(answer.json) == {
        "session_id", "access_token", "refresh_token", "token_type", "expires_in", "refresh_expires_in",
        "user_id", "user_name", "login",
    }  # fmt: skip
    assert len(answer.json["session_id"]) == 32 and int(answer.json["session_id"], 16) > 0
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("bearer", 600)
    assert answer.json["refresh_expires_in"] == 1209600
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await nobody.get("/v1/users/me")).expecting(200).json["user_name"] == "ann"


async def test_name_login_and_email_all_open_the_account(nobody):
    await nobody.registers("ann", email="Ann@Example.org")

    for word, name in [
        ("user_name", " Ann"),
        ("login", "ann"),
        ("email", "ann@example.ORG"),
        ("user_name", "ann@example.org"),
    ]:
        answer = await nobody.post(LOGIN, {word: name, "password": PASSWORD})
        assert answer.expecting(200).json["user_name"] == "ann", word
    assert (await nobody.post(LOGIN, {"user_name": "ann", "login": "bob", "password": PASSWORD})).status == 400


async def test_a_name_cannot_shadow_somebodys_email(nobody):
    await nobody.registers("ann", email="ann@example.org")
    await nobody.registers("ann@example.org", "the shadow's password")

    answer = await nobody.post(LOGIN, {"email": "ann@example.org", "password": PASSWORD})

    assert answer.expecting(200).json["user_name"] == "ann"


async def test_whatever_is_wrong_with_name_or_password_the_answer_is_the_same(nobody):
    await nobody.registers("ann")
    request_id = {"X-Request-ID": "same"}
    answers = [
        await guess(nobody, name, password, headers=request_id)
        for name, password in [
            ("ann", "wrong"), ("nobody of this name", "wrong"), ("", "wrong"), ("ann", ""), ("a", "x"),
            ("x" * 10_000, "wrong"), ("ann", "x" * 10_000), ("ann\u202e", PASSWORD), ("ann", PASSWORD + " "),
        ]
    ]  # fmt: skip

    assert {answer.status for answer in answers} == {401}
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].code == "bad-password"
    unlike = {"Date"}
    assert len({tuple((k, v) for k, v in a.headers.items() if k not in unlike) for a in answers}) == 1


async def test_an_unknown_name_costs_a_verification_as_a_known_one_does(server, nobody):
    await nobody.registers("ann")
    before = verified(server)

    await guess(nobody, "ann")
    known = verified(server) - before
    await guess(nobody, "nobody of this name")
    unknown = verified(server) - before - known

    assert known == unknown == 1


async def test_a_login_of_another_shape_is_not_a_login(nobody):
    for body in [{"user_name": "ann"}, {"password": "pass"}, {"user_name": 5, "password": "pass"},
                 {"user_name": "ann", "password": 5}, {"user_name": "ann", "password": "pass", "client_id": 7},
                 {"user_name": "ann", "password": "pass", "client_id": "x" * 65},
                 {"user_name": "ann", "password": "pass", "device_name": "x" * 256},
                 {"user_name": "ann", "password": "pass", "device_name": "phone\u202e"},
                 {"user_name": "ann", "password": "pass\u0000"}]:  # fmt: skip
        assert (await nobody.post(LOGIN, body)).expecting(400).code == "bad-parameters", body


async def test_the_form_of_the_authorize_button_signs_in(nobody):
    await nobody.registers("ann lee", email="ann@example.org")
    form = {"grant_type": "password", "username": "ann@example.org", "password": PASSWORD, "client_id": "", "scope": ""}

    by_form = await nobody.asks("POST", "/login", data=form)
    by_json = await nobody.post("/login", {"email": "ann@example.org", "password": PASSWORD})

    for answer in (by_form, by_json):
        assert answer.expecting(200).json["token_type"] == "bearer"
        assert str(answer.json["user_id"]) == nobody.user_id
        bearer = {"Authorization": f"Bearer {answer.json['access_token']}"}
        assert (await nobody.get("/v1/users/me", headers=bearer)).expecting(200).json["user_name"] == "ann lee"


async def test_a_form_that_is_none_is_refused(nobody):
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    many = b"a=1&" * 100 + b"username=ann&password=x"
    for form, status in [(b"username=ann", 400), (b"username=ann&password=a&password=b", 400), (b"\xff\xfe", 400),
                         (b"username=%FF&password=x", 400), (b"username=ann&password=%00", 400), (b"", 400),
                         (many, 400), (b"username=ann&password=x", 401)]:  # fmt: skip
        assert (await nobody.asks("POST", "/login", data=form, headers=kind)).status == status, form


async def test_no_answer_and_no_log_line_repeats_a_password(nobody, sql, caplog):
    caplog.set_level("DEBUG")
    secret, register = "hunter2-hunter2", "/v1/auth/register"
    answers = [
        await nobody.post(register, {"user_name": "ann", "password": secret}),
        await nobody.post(register, {"user_name": "ann", "password": secret}),
        await nobody.post(register, {"user_name": "a", "password": secret}),
        await nobody.post(register, {"user_name": "bob", "password": [secret]}),
        await nobody.post(LOGIN, {"user_name": "ann", "password": secret}),
        await nobody.post(LOGIN, {"user_name": secret, "password": secret}),
        await nobody.post(LOGIN, {"user_name": "ann", "password": secret, "client_id": 1}),
        await nobody.asks("POST", "/login", data=f"username=ann&password={secret}".encode()),
        await nobody.asks("POST", "/login", data=f"{secret}".encode()),
    ]
    hashed = await sql.fetchval("select password_hash from users")
    told = b"".join(answer.body + str(answer.headers).encode() for answer in answers).decode()
    given = [answers[4].json[word] for word in ("session_id", "access_token", "refresh_token")]

    assert {answer.status for answer in answers} == {201, 409, 400, 200, 401}
    assert secret not in told and hashed not in told and "argon2" not in told
    assert not [word for word in [secret, hashed, *given] if word in caplog.text]
    stored = str([await sql.fetch(f"select * from {table}") for table in ("audit", "login_failures", "sessions")])
    assert secret not in stored and given[0] not in stored


@pytest.mark.alone
async def test_an_old_hash_is_renewed_by_the_next_login(nobody, sql, monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", HASHER)
    await nobody.registers("ann")
    await sql.execute("update users set password_hash = $1", PasswordHasher(1, 8192, 1).hash(PASSWORD))

    await nobody.signs_in("ann")

    assert "m=19456,t=2,p=1" in await sql.fetchval("select password_hash from users")
    await nobody.signs_in("ann")


class TestTooManyWrongPasswords:
    @pytest.fixture
    def settings(self):
        return {"LOGIN_TRIES": "3", "TRUSTED_PROXIES": "127.0.0.1"}

    async def test_after_the_bound_nothing_is_said_any_more(self, alice, nobody, server):
        assert [(await guess(nobody)).status for _ in range(3)] == [401] * 3
        before = verified(server)

        wrong, right = await guess(nobody), await guess(nobody, password=PASSWORD)

        for answer in (wrong, right):
            assert answer.expecting(429).code == "request-limit-exceeded"
            assert 890 <= int(answer.headers["Retry-After"]) <= 900
        assert verified(server) == before
        assert (await alice.get("/v1/users/me")).status == 200

    async def test_other_spellings_and_other_addresses_share_the_count(self, alice, nobody):
        for number, spelling in enumerate(["alice", "ALICE ", "Ａlice"]):
            await guess(nobody, spelling, headers={"X-Forwarded-For": f"192.0.2.{number}"})

        assert (await guess(nobody, headers={"X-Forwarded-For": "192.0.2.77"})).status == 429

    async def test_a_name_that_does_not_exist_is_bounded_alike(self, nobody):
        statuses = [(await guess(nobody, "nobody of this name")).status for _ in range(4)]

        assert statuses == [401, 401, 401, 429]

    async def test_the_bound_frees_itself_one_try_at_a_time(self, alice, nobody, sql):
        for _ in range(3):
            await guess(nobody)
        await sql.execute(
            "update login_failures set failed_at = failed_at - interval '15 minutes'"
            " where id = (select min(id) from login_failures)"
        )

        assert (await guess(nobody)).status == 401
        assert (await guess(nobody)).status == 429

    async def test_retry_after_is_when_the_oldest_try_is_forgotten(self, alice, nobody, sql):
        for _ in range(3):
            await guess(nobody)
        await sql.execute("update login_failures set failed_at = failed_at - interval '14 minutes 30 seconds'")

        assert 28 <= int((await guess(nobody)).expecting(429).headers["Retry-After"]) <= 30

    async def test_who_has_to_wait_is_told_what_is_allowed(self, alice, nobody, sql):
        for _ in range(3):
            await guess(nobody)
        await sql.execute("update login_failures set failed_at = failed_at - interval '14 minutes'")

        headers = (await guess(nobody)).expecting(429).headers

        wait = headers["Retry-After"]
        assert 58 <= int(wait) <= 60
        assert headers["RateLimit-Policy"] == '"passwords-per-account";q=3;w=900'
        assert headers["RateLimit"] == f'"passwords-per-account";r=0;t={wait}'
        told = [headers[f"X-RateLimit-{what}"] for what in ("Limit", "Remaining", "Reset")]
        assert told == ["3", "0", wait]

    async def test_a_right_password_begins_the_count_anew(self, alice, nobody):
        for _ in range(2):
            await guess(nobody)
        await nobody.signs_in("alice")

        assert [(await guess(nobody)).status for _ in range(4)] == [401, 401, 401, 429]

    async def test_guesses_side_by_side_on_two_workers_do_not_pass_the_bound(self, alice, nobody, start, sql):
        other = await start(LOGIN_TRIES="3")

        answers = await asyncio.gather(
            *(guess(nobody, password=f"guess {n}", server=(nobody.server, other)[n % 2]) for n in range(24))
        )

        assert sorted(answer.status for answer in answers) == [401] * 3 + [429] * 21
        assert await sql.fetchval("select count(*) from login_failures") == 3

    async def test_a_right_guess_that_waited_behind_too_many_wrong_ones_is_not_told(self, alice, nobody, server, sql):
        """All of them pass the first look, side by side; the second one, in turn, lets only the bound through."""
        for _ in range(2):
            await guess(nobody)
        before, account = verified(server), counted("alice", "127.0.0.1").locks[0]
        await sql.execute("select pg_advisory_lock($1)", account)
        wrong = asyncio.create_task(guess(nobody))
        await until(sql, f"select count(*) = 1 from ({WAITERS}) as waiting")
        right = asyncio.create_task(guess(nobody, password=PASSWORD))
        await until(sql, f"select count(*) = 2 from ({WAITERS}) as waiting")
        await sql.execute("select pg_advisory_unlock($1)", account)

        assert (await wrong).status == 401
        assert (await right).status == 429
        assert verified(server) == before + 2

    @pytest.mark.alone
    async def test_without_the_count_nobody_gets_in(self, alice, nobody, sql):
        await sql.execute("alter table login_failures rename to lost")

        assert (await guess(nobody, password=PASSWORD)).status == 500

    async def test_the_current_password_is_no_way_around(self, alice):
        change = {"current_password": "wrong", "new_password": "new password"}
        statuses = [(await alice.post("/v1/auth/password", change)).status for _ in range(4)]

        assert statuses == [403, 403, 403, 429]
        assert (await guess(alice, password=PASSWORD)).status == 429


class TestTooManyWrongPasswordsFromOneAddress:
    @pytest.fixture
    def settings(self):
        return {"LOGIN_TRIES_PER_ADDRESS": "4", "TRUSTED_PROXIES": "127.0.0.1"}

    async def test_an_address_is_bounded_over_all_names_and_a_right_password_does_not_clear_it(self, alice, nobody):
        for number in range(3):
            await guess(nobody, f"name {number}")
        await guess(nobody)
        await_right = await guess(nobody, password=PASSWORD)

        assert await_right.status == 429
        assert await_right.headers["RateLimit-Policy"] == '"passwords-per-address";q=4;w=900'
        elsewhere = {"X-Forwarded-For": "192.0.2.1"}
        assert (await guess(nobody, password=PASSWORD, headers=elsewhere)).status == 200
        assert (await guess(nobody, "name 9")).status == 429

    async def test_an_ipv6_network_counts_as_one_address(self, nobody):
        for number in range(4):
            await guess(nobody, f"name {number}", headers={"X-Forwarded-For": f"2001:db8:1:2::{number}"})

        assert (await guess(nobody, "name 9", headers={"X-Forwarded-For": "2001:db8:1:2:ffff::1"})).status == 429
        assert (await guess(nobody, "name 9", headers={"X-Forwarded-For": "2001:db8:1:3::1"})).status == 401


async def test_a_headers_word_does_not_make_a_new_address(start, nobody):
    server = await start(LOGIN_TRIES_PER_ADDRESS="3")

    statuses = [
        (await guess(nobody, f"name {n}", server=server, headers={"X-Forwarded-For": f"192.0.2.{n}"})).status
        for n in range(4)
    ]

    assert statuses == [401, 401, 401, 429]


@pytest.mark.alone
async def test_who_finds_no_slot_in_time_is_told_to_come_again(server, nobody):
    await nobody.registers("ann")
    passwords = server.runner.app[AUTH].passwords
    passwords.patience = 0.05

    async with passwords.slot(), passwords.slot():
        refused = await guess(nobody, "ann", PASSWORD)

    assert refused.expecting(503).code == "unavailable"
    assert refused.headers["Retry-After"] == "1"
    await nobody.signs_in("ann")


@pytest.mark.alone
async def test_a_login_with_the_old_password_does_not_outlive_its_change(alice, nobody, sql):
    """The old password is verified, then changed before the login is through: the login must not be."""
    await sql.execute("begin")
    await sql.execute("select 1 from users for update")
    late = asyncio.create_task(guess(nobody, password=PASSWORD))
    await until(sql, SOMEBODY_WAITS)
    await sql.execute("update users set password_set_at = clock_timestamp()")
    await sql.execute("commit")
    answer = await late

    assert answer.expecting(401).code == "bad-password"
