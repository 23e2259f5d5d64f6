"""Making an account."""

import asyncio

import pytest

from messenger.apps.auth import passwords
from tests.actors import PASSWORD
from tests.commands import HASHER

pytestmark = pytest.mark.shared

REGISTER = "/v1/auth/register"


async def test_a_new_account_shows_its_name_and_a_textual_id(nobody):
    answer = (await nobody.post(REGISTER, {"user_name": " Ann Lee ", "password": "pass"})).expecting(201)

    assert answer.json == {"user_id": answer.json["user_id"], "user_name": "Ann Lee", "login": "Ann Lee", "email": None}
    assert isinstance(answer.json["user_id"], str) and answer.json["user_id"].isdigit()


async def test_login_is_another_word_for_user_name_but_not_for_another_name(nobody):
    await nobody.post(REGISTER, {"login": "ann", "password": "pass", "email": "Ann@Example.org"})
    both = await nobody.post(REGISTER, {"user_name": "dave", "login": "dave", "password": "pass"})
    different = await nobody.post(REGISTER, {"user_name": "eve", "login": "eva", "password": "pass"})

    assert both.status == 201
    assert different.expecting(400).code == "bad-parameters"
    assert (await nobody.signs_in("ann", "pass")).json["login"] == "ann"


async def test_a_taken_name_is_taken_in_every_spelling(nobody):
    await nobody.registers("Ann", email="ann@example.org")

    for spelling in ["ann", "ANN", "  Ann ", "Ａnn"]:
        by_name = await nobody.post(REGISTER, {"user_name": spelling, "password": "pass"})
        assert by_name.expecting(409).json["errors"] == [{"pointer": "/user_name", "detail": "is taken"}]
    by_email = await nobody.post(REGISTER, {"user_name": "other", "password": "pass", "email": "ANN@example.ORG"})
    assert by_email.expecting(409).json["errors"] == [{"pointer": "/email", "detail": "is taken"}]
    assert by_name.code == by_email.code == "user-already-exists"


@pytest.mark.alone
@pytest.mark.parametrize("with_email", [False, True])
async def test_of_fifty_who_want_one_name_at_once_one_gets_it(nobody, sql, with_email):
    spellings = ["ann", "Ann", "ANN", " ann ", "Ａnn"]
    email = {"email": "ann@example.org"} if with_email else {}

    answers = await asyncio.gather(
        *(nobody.post(REGISTER, {"user_name": spellings[n % 5], "password": "pass", **email}) for n in range(50))
    )

    assert sorted(answer.status for answer in answers) == [201] + [409] * 49
    assert {answer.code for answer in answers if answer.status == 409} == {"user-already-exists"}
    assert await sql.fetchval("select count(*) from users") == 1


@pytest.mark.alone
async def test_what_is_no_account_is_refused_with_its_place(nobody, sql):
    good = {"user_name": "ann", "password": "pass"}
    refused = {
        "/user_name": [
            {"user_name": ""},
            {"user_name": "a"},
            {"user_name": "  a  "},
            {"user_name": "\u200b\u200b\u200b"},
            {"user_name": "a" * 256},
            {"user_name": "ﷺ" * 200},
            {"user_name": "ann\u202edrol"},
            {"user_name": "ann\tlee"},
            {"user_name": "ann\u0000"},
            {"user_name": 12},
            {"user_name": True},
            {"user_name": ["ann"]},
            {"user_name": None},
        ],
        "/password": [{"password": "pas"}, {"password": "x" * 1025}, {"password": 1234}, {"password": None}],
        "/email": [
            {"email": "ann"},
            {"email": "ann@"},
            {"email": "@example.org"},
            {"email": "a@b@c"},
            {"email": "an n@example.org"},
            {"email": "a" * 64 + "@" + "b" * 190},
            {"email": 1},
            {"email": {}},
        ],
    }

    for pointer, changes in refused.items():
        for change in changes:
            answer = await nobody.post(REGISTER, good | change)
            assert answer.expecting(400).json["errors"][0]["pointer"] == pointer, change
    assert (await nobody.post(REGISTER, {"password": "pass"})).expecting(400).code == "bad-parameters"
    assert (await nobody.post(REGISTER, {"user_name": "ann"})).json["errors"][0]["pointer"] == "/password"
    assert await sql.fetchval("select count(*) from users") == 0


async def test_any_characters_make_a_password_and_all_of_them_count(nobody):
    for number, password in enumerate(["    ", "пароль", "x" * 1024, "🐎" * 1024, "<script>", " pass phrase "]):
        name = f"person {number}"
        await nobody.registers(name, password)
        await nobody.signs_in(name, password)
        wrong = await nobody.post("/v1/auth/login", {"user_name": name, "password": password + " "})
        assert wrong.expecting(401).code == "bad-password"


async def test_names_of_two_to_255_characters_come_back_as_they_were(nobody):
    for name in ["ab", "n" * 255, "😀" * 255, "e\u0301va", "<img onerror=x>", "שלום", "{{7*7}}"]:
        assert (await nobody.registers(name)).json["user_name"] == name
        assert (await nobody.signs_in(name)).json["user_name"] == name


async def test_fields_nobody_asked_for_are_ignored_and_never_obeyed(nobody, sql, monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", HASHER)
    more = {"is_admin": True, "role": "owner", "user_id": 999, "created_at": 0, "password_hash": "x", "id": 7}

    answer = await nobody.registers("ann", **more)

    assert answer.json["user_id"] not in {"7", "999"}
    row = await sql.fetchrow("select * from users where id = $1", int(answer.json["user_id"]))
    assert row["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in str(dict(row))


class TestWithALongerMinimum:
    @pytest.fixture
    def settings(self):
        return {"PASSWORD_MIN_LENGTH": "8"}

    async def test_what_everybody_guesses_first_is_refused(self, nobody):
        for password in ["password1", "PassWord1", "qwertyuiop", "12345678", "short"]:
            answer = await nobody.post(REGISTER, {"user_name": "ann", "password": password})
            assert answer.expecting(400).json["errors"][0]["pointer"] == "/password"

        await nobody.registers("ann", "a phrase of my own")


async def test_with_a_short_minimum_there_is_no_list(nobody):
    answer = await nobody.registers("ann", "password1")

    assert (answer.status, answer.json["user_name"]) == (201, "ann")
