"""Making people, and ending their sessions, by hand."""

import json

import asyncpg
import pytest

from tests.actors import Person, Server
from tests.run.admin.conftest import Admin, refusal


async def test_somebody_made_by_hand_signs_in(admin: Admin, server: Server, tmp_path) -> None:
    piped = await admin("create-user", "zoe", "--email", "zoe@example.com", stdin="correct horse\n")
    assert piped.returncode == 0, piped.stderr
    assert piped.stdout.startswith("Created zoe (user ")
    (tmp_path / "word").write_text("battery staple\n")
    from_file = await admin("create-user", "yan", "--password-file", str(tmp_path / "word"))
    assert from_file.returncode == 0, from_file.stderr

    async with Person.stranger(server) as person:
        await person.signs_in("zoe@example.com", "correct horse")
        await person.signs_in("yan", "battery staple")


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "said"),
    [
        (["zoe"], "", 2, "--password-file"),
        (["zoe"], "x", 1, "must have 4 to 1024 characters"),
        (["z"], "correct horse", 1, "user_name"),
        (["alice"], "correct horse", 1, "is taken"),
        (["zoe", "--password", "x"], "", 2, "Other processes see"),
        (["zoe", "--password-file", "/nowhere"], "", 2, "cannot be read"),
    ],
)
async def test_a_person_that_cannot_be_made_is_said_why(
    admin: Admin, alice: Person, arguments: list[str], stdin: str, code: int, said: str
) -> None:
    assert said in refusal(await admin("create-user", *arguments, stdin=stdin), code)


async def test_sessions_are_listed_and_an_ended_one_is_closed_on_every_process(
    admin: Admin, start, sql: asyncpg.Connection
) -> None:
    here, there = await start(), await start()
    async with (
        Person.registered(here, "alice", device_name="phone") as alice,
        alice.on_another_device(there, device_name="laptop") as laptop,
    ):
        told = json.loads((await admin("sessions", "list", "Alice", "--json")).stdout)
        assert told["user_name"] == "alice"
        ids = {one["device_name"]: one["id"] for one in told["sessions"]}
        assert set(ids) == {"phone", "laptop"}
        plain = await admin("sessions", "list", alice.user_id)
        assert "laptop" in plain.stdout

        async with laptop.connects() as socket:
            done = await admin("sessions", "revoke", "alice", "--session", ids["laptop"])
            assert done.stdout == f"Ended 1 sessions of alice (user {alice.user_id}).\n"
            assert (await socket.hears("session_revoked"))["session_id"] == ids["laptop"]
            await socket.closes()
        assert (await laptop.get("/v1/users/me")).status == 401
        (await alice.get("/v1/users/me")).expecting(200)

        assert (await admin("sessions", "revoke", "alice", "--all")).returncode == 0
        assert (await alice.get("/v1/users/me")).code == "session-revoked"
    where = await sql.fetchval("select distinct address from audit where detail = 'revoked by the operator'")
    assert where == "messenger-admin"


async def test_a_session_that_is_not_theirs_ends_nothing(admin: Admin, alice: Person, bob: Person) -> None:
    ids = [
        json.loads((await admin("sessions", "list", name, "--json")).stdout)["sessions"][0]["id"]
        for name in ("alice", "bob")
    ]

    said = refusal(await admin("sessions", "revoke", "alice", "--session", ids[0], "--session", ids[1]), 1)

    assert "nothing was ended" in said
    (await alice.get("/v1/users/me")).expecting(200)
    (await bob.get("/v1/users/me")).expecting(200)
    assert "nobody called 'zoe'" in refusal(await admin("sessions", "list", "zoe"), 1)


async def test_a_link_signs_its_person_in_once_whoever_made_them(admin: Admin, server: Server) -> None:
    assert (await admin("seed", MODE="dev")).returncode == 0

    done = await admin("link", "test1@test.com", "--minutes", "5", HOST="0.0.0.0", PORT="8123")
    address, token = done.stdout.strip().split("#link=")
    async with Person.stranger(server) as person:
        answer = await person.post("/v1/auth/link", {"token": token})

        assert (done.returncode, address) == (0, "http://127.0.0.1:8123/")
        assert answer.expecting(200).json["user_name"] in done.stderr
        assert (await person.post("/v1/auth/link", {"token": token})).expecting(401).code == "token-invalid"
        by_name = await admin("link", answer.json["user_name"], "--url", "https://chat.example.org/chat/")
        assert by_name.stdout.startswith("https://chat.example.org/chat/#link=")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["zoe"], 1, "nobody called 'zoe'"),
        (["alice", "--minutes", "0"], 2, "is not within 1 to 1440"),
        (["alice", "--minutes", "soon"], 2, "invalid int value"),
        (["alice", "--url", "chat.example.org"], 2, "is not the address of a page"),
        (["alice", "--url", "http://["], 2, "is not the address of a page"),
        ([], 2, "NAME"),
    ],
)
async def test_a_link_that_cannot_be_made_is_said_why(
    admin: Admin, alice: Person, arguments: list[str], code: int, said: str
) -> None:
    assert said in refusal(await admin("link", *arguments), code)
