"""Profiles, and finding people."""

import asyncio

import pytest

from tests.actors import PASSWORD, Person
from tests.people import present

pytestmark = pytest.mark.shared

ME, USERS = "/v1/users/me", "/v1/users"


async def test_my_profile_says_what_i_wrote_there(alice):
    changes = {"display_name": "Alice L.", "about": "tea\n& chess", "email": "Alice@Example.org", "user_name": "alix"}

    changed = (await alice.asks("PATCH", ME, changes)).expecting(200).json

    assert {name: changed[name] for name in changes} == changes
    assert (await alice.get(ME)).json == changed
    assert (await alice.asks("PATCH", ME, {"email": None})).json == changed | {"email": None}
    assert (await alice.asks("PATCH", ME, {"display_name": "", "user_id": "999"})).json["user_id"] == alice.user_id


async def test_a_profile_takes_no_taken_name_and_nothing_odd(alice, bob):
    await bob.asks("PATCH", ME, {"email": "bob@example.org"})
    for change in [{"user_name": "BOB"}, {"email": "Bob@example.org"}]:
        assert (await alice.asks("PATCH", ME, change)).expecting(409).code == "user-already-exists"
    for change in [{"user_name": "a"}, {"user_name": None}, {"email": "x"}, {"email": 5}, {"about": "x" * 1025},
                   {"about": None}, {"display_name": "x" * 256}, {"display_name": "a\u202eb"},
                   {"about": "\u0000"}]:  # fmt: skip
        assert (await alice.asks("PATCH", ME, change)).expecting(400).code == "bad-parameters", change
    assert (await alice.asks("PATCH", ME, {"user_name": "Alice"})).expecting(200).json["user_name"] == "Alice"


@pytest.mark.alone
async def test_of_two_who_want_one_email_at_once_one_gets_it(alice, bob, sql):
    change = {"email": "one@example.org"}

    answers = await asyncio.gather(*(person.asks("PATCH", ME, change) for person in [alice, bob] * 10))

    assert {answer.status for answer in answers} == {200, 409}
    assert await sql.fetchval("select count(*) from users where email is not null") == 1


async def test_others_see_my_name_but_neither_my_email_nor_my_hash(alice, bob):
    await alice.asks("PATCH", ME, {"email": "alice@example.org", "about": "tea"})

    seen = (await bob.get(f"{USERS}/{alice.user_id}")).expecting(200)
    found = (await bob.get(f"{USERS}?query=alice")).expecting(200)

    assert seen.json["user_name"] == "alice" and seen.json["about"] == "tea"
    assert found.json["users"] == [seen.json]
    for answer in (seen, found):
        assert b"example.org" not in answer.body and b"argon2" not in answer.body and "email" not in str(answer.json)


async def test_a_profile_that_is_known_is_not_sent_again(alice, bob):
    for path in [ME, f"{USERS}/{alice.user_id}"]:
        first = await alice.get(path)
        tag = first.headers["ETag"]
        known = (await alice.get(path, headers={"If-None-Match": f'"other", {tag}'})).expecting(304)

        assert tag.startswith('W/"') and known.body == b"" and known.headers["ETag"] == tag
        for answer in (first, known):
            assert answer.headers["Cache-Control"] == "private, no-cache"
            assert answer.headers["Vary"] == "Authorization, Cookie"
        await alice.asks("PATCH", ME, {"about": path})
        assert (await alice.get(path, headers={"If-None-Match": tag})).status == 200


async def test_who_does_not_exist_is_not_found(alice):
    for odd in ["0", "-1", "999", "abc", "1.5", "1e3", str(2**31), str(2**63 - 1), str(2**63), "9" * 40, "%00", "١"]:
        assert (await alice.get(f"{USERS}/{odd}")).expecting(404).code == "user-not-found", odd


async def test_people_are_found_by_a_piece_of_their_name(alice, nobody, sql):
    names = ["Ann", "Joann", "Hannah", "ann_lee", "50% off", "Ёжик", "an"]
    await sql.executemany("insert into users(name, name_key) values ($1, $2)", [(n, n.casefold()) for n in names])

    async def found(piece):
        answer = await alice.get(USERS, params={"query": piece})
        return [one["user_name"] for one in answer.expecting(200).json["users"]]

    assert await found("ANN") == ["Ann", "Joann", "Hannah", "ann_lee"]
    assert await found(" aNn ") == ["Ann", "Joann", "Hannah", "ann_lee"]
    assert await found("an") == ["an", "Ann", "ann_lee"]
    assert await found("n_l") == ["ann_lee"]
    assert await found("0% ") == []
    assert await found("50%") == ["50% off"]
    assert await found("%") == await found("_") == await found("\\") == []
    assert await found("жик") == ["Ёжик"]
    assert await found("ё") == ["Ёжик"]
    assert len(await found("")) == 8


async def test_pages_of_people_follow_each_other_without_hole_or_repeat(alice, sql):
    await sql.execute(
        "insert into users(name, name_key) select 'person ' || n, 'person ' || n from generate_series(1, 250) n"
    )
    seen, start = [], ""
    while start is not None:
        page = (await alice.get(USERS, params={"query": "person", "limit": "40", "from": start})).expecting(200).json
        seen += [one["user_name"] for one in page["users"]]
        start = page["next"]["iterator"]

    assert len(seen) == len(set(seen)) == 250
    for odd in ["limit=0", "limit=-1", "limit=abc", "limit=101", "limit=10000000000", "limit=1&limit=2", "limit=",
                "query=%00", "query=%FF", "query=%ED%A0%80",
                "query=" + "x" * 256, "from=" + "x" * 511, "query=a&query=b"]:  # fmt: skip
        assert (await alice.get(f"{USERS}?{odd}")).expecting(400).code == "bad-parameters", odd


@pytest.mark.alone
async def test_finding_people_goes_through_an_index(sql):
    await sql.execute(
        "insert into users(name, name_key) select n, n from (select md5(n::text) n from generate_series(1, 20000) n) x"
    )
    await sql.execute("analyze users")
    order = "order by length(name_key), name_key limit 50"
    for condition, index in [
        ("name_key like '%abcde%'", "users_name_key_trgm_idx"),
        ("name_key like 'abcd%'", "users_name_key"),
        ("(length(name_key), name_key) >= (32, 'a')", "users_length_name_key_idx"),
    ]:
        plan = await sql.fetch(f"explain select id from users where name_key is not null and {condition} {order}")
        assert index in str(plan), plan


async def test_a_deleted_account_leaves_a_tombstone_and_frees_its_name(server, alice, bob, nobody, sql):
    await alice.asks("PATCH", ME, {"email": "alice@example.org", "about": "tea", "display_name": "A."})
    async with alice.on_another_device() as phone:
        (await alice.asks("DELETE", ME)).expecting(204)

        for device in (alice, phone):
            assert (await device.get(ME)).expecting(401).code == "session-revoked"
    login = await nobody.post("/v1/auth/login", {"user_name": "alice", "password": PASSWORD})
    assert login.expecting(401).code == "bad-password"
    grave = (await bob.get(f"{USERS}/{alice.user_id}")).expecting(200).json
    assert (grave["user_name"], grave["about"], grave["deleted"]) == ("Deleted account", "", True)
    assert (await bob.get(f"{USERS}?query=deleted")).json["users"] == []
    row = dict(await sql.fetchrow("select * from users where id = $1", int(alice.user_id)))
    assert "alice" not in str(row).lower() and "argon2" not in str(row)
    async with Person.registered(server, "alice") as heir:
        assert heir.user_id != alice.user_id


async def test_a_person_of_the_tests_who_was_put_there_can_do_what_others_can(server, alice):
    async with present(server, "carol") as carol, carol.on_another_device() as phone:
        assert carol.credentials.keys() == alice.credentials.keys()
        for headers in (carol.headers, {"Authorization": f"Bearer {carol.credentials['access_token']}"}, phone.headers):
            assert (await carol.get(ME, headers=headers)).expecting(200).json["user_name"] == "carol"
        token = {"refresh_token": carol.credentials["refresh_token"]}
        (await carol.post("/v1/auth/refresh", token)).expecting(200)
        assert (await alice.post("/v1/auth/register", {"login": "Carol", "password": PASSWORD})).status == 409
