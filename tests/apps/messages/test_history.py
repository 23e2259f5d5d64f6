"""Pages of a chat's history, by number, by message and by offset."""

import asyncio

import pytest

from messenger.apps.messages.store import MESSAGES
from tests.actors import Person
from tests.apps.talk import fill, says
from tests.waits import waiters_of

pytestmark = pytest.mark.shared


@pytest.fixture
async def lunch(alice: Person, bob: Person) -> str:
    chat = await alice.opens_chat("lunch", [bob])
    for number in range(1, 13):
        await says(alice if number % 2 else bob, chat, f"{number}")
    return chat


async def page(person: Person, chat: str, query: str) -> dict:
    return (await person.get(f"/v1/chats/{chat}/messages?{query}")).expecting(200).json


def seqs(page: dict | list) -> list[int]:
    return [message["seq"] for message in (page["messages"] if isinstance(page, dict) else page)]


async def test_the_iterator_walks_the_whole_history_and_waits_at_its_end(alice, bob, lunch):
    found, iterator = [], None
    while True:
        one = await page(bob, lunch, "limit=5" + (f"&from={iterator}" if iterator else ""))
        if not one["messages"]:
            break
        found += seqs(one)
        assert one["has_more"] == (found[-1] < 12)
        iterator = one["next"]["iterator"]
    assert found == list(range(1, 13))
    assert (one["next"]["iterator"], one["has_more"]) == (iterator, False)
    await says(alice, lunch, "13")
    assert seqs(await page(bob, lunch, f"limit=5&from={iterator}")) == [13]
    far = await page(bob, lunch, "limit=5&from=1000")
    assert (far["messages"], far["next"]["iterator"], far["has_more"]) == ([], "1000", False)


async def test_before_after_and_around_a_message(bob, lunch):
    everything = (await page(bob, lunch, "limit=1000"))["messages"]
    ids = [message["message_id"] for message in everything]
    assert seqs(await page(bob, lunch, f"limit=3&before={ids[6]}")) == [4, 5, 6]
    assert seqs(await page(bob, lunch, f"limit=3&after={ids[6]}")) == [8, 9, 10]
    assert seqs(await page(bob, lunch, f"limit=3&around={ids[6]}")) == [6, 7, 8]
    first, last = await page(bob, lunch, f"limit=3&before={ids[0]}"), await page(bob, lunch, f"limit=3&after={ids[11]}")
    assert first["messages"] == last["messages"] == []
    assert first["has_more"] is last["has_more"] is False
    assert (await page(bob, lunch, f"limit=3&before={ids[6]}"))["has_more"] is True
    assert (await page(bob, lunch, f"limit=6&before={ids[6]}"))["has_more"] is False
    assert (await page(bob, lunch, f"limit=3&after={ids[6]}"))["has_more"] is True
    assert seqs(await page(bob, lunch, f"limit=1000&around={ids[0]}")) == list(range(1, 13))
    assert seqs(await page(bob, lunch, f"limit=4&around={ids[11]}"))[-1] == 12
    # The page after the last one's iterator goes on without a hole, whichever way it was found.
    some = await page(bob, lunch, f"limit=3&around={ids[6]}")
    assert seqs(await page(bob, lunch, f"limit=2&from={some['next']['iterator']}")) == [9, 10]


async def test_what_a_page_asks_for_must_make_sense(alice, bob, lunch):
    other = await alice.opens_chat("other", [bob])
    foreign = (await says(alice, other, "hi"))["message_id"]
    bad = ["", "limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1&limit=2", "limit=5&from=-1", "limit=5&from=x"]
    bad += ["limit=5&from=1&before=2", "limit=5&before=x", "limit=5&around=0", "limit=5&after=1.5", "limit=5&from=9e9"]
    for query in bad:
        answer = await bob.get(f"/v1/chats/{lunch}/messages?{query}")
        assert (answer.status, answer.code) == (400, "bad-parameters"), query
    for way in ("before", "after", "around"):
        for message in (foreign, "9007199254740991"):
            answer = await bob.get(f"/v1/chats/{lunch}/messages?limit=5&{way}={message}")
            assert (answer.status, answer.code) == (404, "message-not-found")


async def test_strangers_and_the_removed_see_what_does_not_exist(alice, bob, mallory, lunch):
    message = (await page(bob, lunch, "limit=1"))["messages"][0]["message_id"]
    (await alice.removes(lunch, bob)).expecting(204)
    for person in (bob, mallory):
        for path in (f"/v1/chats/{lunch}/messages?limit=5", f"/v1/history/{lunch}"):
            missing = path.replace(f"/{lunch}", "/999999")
            here, nowhere = await person.get(path), await person.get(missing)
            same = [{**one.json, "request_id": None} for one in (here, nowhere)]
            assert same[0] == same[1] and same[0]["code"] == "chat-not-found"
        for method, path, body in (
            ("POST", f"/v1/chats/{lunch}/messages", {"text": "hi"}),
            ("PATCH", f"/v1/chats/{lunch}/messages/{message}", {"text": "hi"}),
            ("DELETE", f"/v1/chats/{lunch}/messages/{message}", None),
            ("PUT", f"/v1/chats/{lunch}/messages/{message}/reactions/!", None),
            ("DELETE", f"/v1/chats/{lunch}/messages/{message}/reactions/!", None),
        ):
            answer = await person.asks(method, path, body)
            assert (answer.status, answer.code) == (404, "chat-not-found"), (method, path)


async def test_history_by_offset(alice, bob, lunch, sql):
    assert seqs((await bob.get(f"/v1/history/{lunch}?limit=4")).json) == [1, 2, 3, 4]
    assert seqs((await bob.get(f"/v1/history/{lunch}?limit=4&offset=10")).json) == [11, 12]
    assert seqs((await bob.get(f"/v1/history/{lunch}?offset=12")).json) == []
    fifth = (await page(bob, lunch, "limit=1&from=5"))["messages"][0]["message_id"]
    assert seqs((await bob.get(f"/v1/history/{lunch}?limit=2&later_that_message_id={fifth}")).json) == [6, 7]
    assert seqs((await bob.get(f"/v1/history/{lunch}?limit=2&offset=2&later_that_message_id={fifth}")).json) == [8, 9]
    for query in ("limit=0", "limit=101", "offset=-1", "offset=x", "later_that_message_id=x"):
        assert (await bob.get(f"/v1/history/{lunch}?{query}")).code == "bad-parameters", query
    assert (await bob.get(f"/v1/history/{lunch}?later_that_message_id=999999")).code == "message-not-found"
    assert (await bob.get(f"/v1/history/{lunch}?offset=9007199254740991")).json == []
    await fill(sql, lunch, alice, 100)
    assert len((await bob.get(f"/v1/history/{lunch}")).json) == 50


async def test_the_cost_of_a_page_does_not_grow_with_its_place(alice, bob, lunch, sql):
    await fill(sql, lunch, alice, 20_000)
    await sql.execute("analyze messages")
    for seq in (100, 19_000):
        asked = MESSAGES
        for place, value in enumerate((lunch, seq, 100, "null"), 1):
            asked = asked.replace(f"${place}", f"array[{value}]")
        plan = await sql.fetch(f"explain (analyze, buffers, format text) {asked}")
        text = "\n".join(line[0] for line in plan)
        assert "Seq Scan on messages" not in text
        rows = [float(line[0].split("rows=")[-1].split()[0]) for line in plan if "messages_pkey" in line[0]]
        assert rows and max(rows) <= 101, text


async def test_a_page_that_is_known_is_not_sent_again_and_any_change_makes_it_new(alice, bob, lunch):
    path = f"/v1/chats/{lunch}/messages?limit=20"
    first = await bob.get(path)
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert {"Authorization", "Cookie"} <= {part.strip() for part in first.headers["Vary"].split(",")}
    known = {"If-None-Match": first.headers["ETag"]}
    assert first.headers["ETag"].startswith('W/"')
    assert (await bob.get(path, headers=known)).status == 304
    assert (await alice.get(path, headers=known)).status == 200  # her page has her client_ids
    tags = {first.headers["ETag"]}
    twelfth = first.json["messages"][-1]
    changes = [
        alice.post(f"/v1/chats/{lunch}/read", {"message_id": twelfth["message_id"]}),
        bob.asks("PATCH", f"/v1/chats/{lunch}/messages/{twelfth['message_id']}", {"text": "new"}),
        alice.asks("PUT", f"/v1/chats/{lunch}/messages/{twelfth['message_id']}/reactions/!"),
        bob.asks("DELETE", f"/v1/chats/{lunch}/messages/{twelfth['message_id']}"),
        alice.post(f"/v1/chats/{lunch}/messages", {"text": "13"}),
    ]
    for change in changes:
        assert (await change).status < 300
        answer = (await bob.get(path, headers=known)).expecting(200)
        assert answer.headers["ETag"] not in tags
        tags.add(answer.headers["ETag"])


async def test_a_client_id_is_for_its_sender_only(alice, bob):
    lunch = await alice.opens_chat("lunch", [bob])
    sent = await says(alice, lunch, "hi", client_id="mine")

    assert sent["client_id"] == "mine"
    for path in (f"/v1/chats/{lunch}/messages?limit=5", f"/v1/history/{lunch}"):
        own, his = (await alice.get(path)).json, (await bob.get(path)).json
        own, his = (one["messages"] if isinstance(one, dict) else one for one in (own, his))
        assert own[0]["client_id"] == "mine"
        assert "client_id" not in his[0]


NAMES_WAIT = waiters_of("users")


async def test_nobody_gets_a_page_with_blank_names_while_another_looks_them_up(alice, bob, lunch, sql):
    path = f"/v1/chats/{lunch}/messages?limit=20"
    async with sql.transaction():
        await sql.execute("lock table users in access exclusive mode")
        reading = []
        for person in (alice, bob):
            reading.append(asyncio.create_task(person.get(path)))
            await settled(sql, reading, len(reading))

    for answer in await asyncio.gather(*reading):
        assert {one["sender_name"] for one in answer.expecting(200).json["messages"]} == {"alice", "bob"}


async def test_names_that_could_not_be_looked_up_are_looked_up_again(alice, bob, lunch, sql):
    path = f"/v1/chats/{lunch}/messages?limit=20"
    async with sql.transaction():
        await sql.execute("lock table users in access exclusive mode")
        reading = asyncio.create_task(alice.get(path))
        await settled(sql, [reading], 1)
        await sql.execute(f"select pg_terminate_backend(pid) from ({NAMES_WAIT}) waiting")
        assert (await reading).code == "unavailable"

    answer = await bob.get(path)

    assert {one["sender_name"] for one in answer.expecting(200).json["messages"]} == {"alice", "bob"}


async def settled(sql, reading: list[asyncio.Task], waiting: int) -> None:
    """Until so many readers wait for the names, or one has its answer without them."""
    async with asyncio.timeout(20):
        while len(await sql.fetch(NAMES_WAIT)) < waiting and not any(one.done() for one in reading):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("query", "shown", "has_before", "has_more"),
    [
        ("anchor=newest&limit=5", [8, 9, 10, 11, 12], True, False),
        ("anchor=newest&num_before=3", [10, 11, 12], True, False),
        ("anchor=newest&num_before=2&num_after=7", [11, 12], True, False),
        ("anchor=newest&num_after=7", [], True, False),
        ("anchor=newest&limit=1000", list(range(1, 13)), False, False),
        ("anchor=oldest&limit=5", [1, 2, 3, 4, 5], False, True),
        ("anchor=oldest&num_after=3", [1, 2, 3], False, True),
        ("anchor=oldest&num_before=3", [], False, True),
        ("anchor=first_unread&limit=4", [3, 4, 5, 6], True, True),
        ("anchor=first_unread&num_before=2&num_after=3", [3, 4, 5, 6, 7, 8], True, True),
        ("anchor=first_unread&num_after=1", [5, 6], True, True),
        ("anchor={7}&limit=4", [5, 6, 7, 8], True, True),
        ("anchor={7}&limit=1", [7], True, True),
        ("anchor={7}&num_before=2&num_after=1", [5, 6, 7, 8], True, True),
        ("anchor={7}&num_before=2", [5, 6, 7], True, True),
        ("anchor={2}&num_before=5&num_after=1", [1, 2, 3], False, True),
        ("anchor={1}&limit=4", [1, 2, 3, 4], False, True),
        ("anchor={12}&num_before=1&num_after=5", [11, 12], True, False),
        ("anchor={12}&num_before=500&num_after=500", list(range(1, 13)), False, False),
    ],
)
async def test_each_view_of_a_chat_is_one_request(alice, bob, query, shown, has_before, has_more):
    chat = await alice.opens_chat("lunch", [bob])
    ids = [(await says(alice, chat, f"{number}"))["message_id"] for number in range(1, 13)]
    (await bob.post(f"/v1/chats/{chat}/read", {"message_id": ids[3]})).expecting(200)

    found = await page(bob, chat, query.format("", *ids))

    assert (seqs(found), found["has_before"], found["has_more"]) == (shown, has_before, has_more)
    assert found["next"]["iterator"] == str(shown[-1] + 1 if shown else 1 if "oldest" in query else 13)


async def test_who_has_read_everything_or_nothing_finds_the_newest_or_the_oldest_unread(alice, bob, lunch):
    (await alice.post(f"/v1/messages/read/{(await says(bob, lunch, '13'))['message_id']}")).expecting(200)
    fresh = await alice.opens_chat("fresh", [bob])
    empty = await page(bob, fresh, "anchor=first_unread&limit=3")
    for number in range(3):
        await says(alice, fresh, f"{number}")

    for query in ("limit=3", "num_before=3&num_after=8"):
        everything = await page(alice, lunch, f"anchor=first_unread&{query}")
        assert (seqs(everything), everything["has_more"], everything["has_before"]) == ([11, 12, 13], False, True)
    nothing = await page(bob, fresh, "anchor=first_unread&limit=2")
    assert (seqs(nothing), nothing["has_more"], nothing["has_before"]) == ([1, 2], True, False)
    assert (empty["messages"], empty["next"]["iterator"], empty["has_before"]) == ([], "1", False)


async def test_from_the_page_in_the_middle_one_walks_to_both_ends(bob, lunch):
    middle = await page(
        bob, lunch, f"anchor={(await page(bob, lunch, 'limit=7'))['messages'][-1]['message_id']}&limit=3"
    )
    earlier, later = middle, middle
    found = middle["messages"]
    while earlier["has_before"]:
        earlier = await page(bob, lunch, f"limit=2&before={found[0]['message_id']}")
        assert earlier["has_more"] == earlier["has_before"]  # with `before` it has always meant that
        found = earlier["messages"] + found
    while later["has_more"]:
        later = await page(bob, lunch, f"limit=2&from={later['next']['iterator']}")
        found += later["messages"]

    assert [message["seq"] for message in found] == list(range(1, 13))


async def test_an_anchor_that_is_no_message_of_the_chat_stands_between_its_neighbours(alice, bob, lunch):
    other = await alice.opens_chat("other", [bob])
    between = (await says(alice, other, "hi"))["message_id"]
    await says(alice, lunch, "13")
    await says(alice, lunch, "14")

    assert seqs(await page(bob, lunch, f"anchor={between}&num_before=2&num_after=1")) == [11, 12, 13]
    assert seqs(await page(bob, lunch, f"anchor={between}&limit=4")) == [11, 12, 13, 14]
    assert seqs(await page(bob, lunch, "anchor=9007199254740991&num_before=2&num_after=1")) == [13, 14]
    assert seqs(await page(bob, lunch, "anchor=1&num_before=2&num_after=1")) == [1]
    nowhere = await alice.opens_chat("nowhere", [bob])
    assert seqs(await page(bob, nowhere, f"anchor={between}&limit=4")) == []


async def test_an_anchor_opens_no_chat_to_a_stranger(alice, bob, mallory, lunch):
    message = (await page(bob, lunch, "limit=1"))["messages"][0]["message_id"]

    for anchor in ("newest", "oldest", "first_unread", message, "9007199254740991"):
        for chat in (lunch, "999999"):
            answer = await mallory.get(f"/v1/chats/{chat}/messages?anchor={anchor}&limit=5")
            assert (answer.status, answer.code) == (404, "chat-not-found"), (anchor, chat)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("anchor=newest", "limit"),
        ("anchor=newest&limit=0", "limit"),
        ("anchor=newest&limit=1001", "limit"),
        ("anchor=newest&limit=5&num_before=5", "limit"),
        ("anchor=newest&limit=5&num_after=0", "limit"),
        ("anchor=middle&limit=5", "anchor"),
        ("anchor=&limit=5", "anchor"),
        ("anchor=0&num_before=5", "anchor"),
        ("anchor=-1&limit=5", "anchor"),
        ("anchor=9007199254740992&limit=5", "anchor"),
        ("anchor=newest&anchor=oldest&limit=5", "anchor"),
        ("anchor=newest&from=1&limit=5", "anchor"),
        ("anchor=newest&before=1&limit=5", "anchor"),
        ("around=1&anchor=newest&num_before=5", "anchor"),
        ("num_before=5", "anchor"),
        ("from=1&num_after=5", "anchor"),
        ("anchor=newest&num_before=0", "num_before"),
        ("anchor=newest&num_before=0&num_after=0", "num_before"),
        ("anchor=newest&num_after=1001", "num_after"),
        ("anchor=newest&num_before=-1&num_after=3", "num_before"),
        ("anchor=newest&num_before=500&num_after=501", "num_before"),
        ("anchor=newest&num_before=x", "num_before"),
        ("limit=5&read_cursors=no", "read_cursors"),
        ("limit=5&read_cursors=", "read_cursors"),
    ],
)
async def test_what_an_anchored_page_asks_for_must_make_sense(bob, lunch, query, named):
    answer = await bob.get(f"/v1/chats/{lunch}/messages?{query}")

    assert (answer.status, answer.code, answer.json["errors"][0]["pointer"]) == (400, "bad-parameters", named)


async def test_the_largest_page_by_counts_has_its_anchor_in_addition(alice, bob, lunch, sql):
    await fill(sql, lunch, alice, 1100)
    middle = (await page(bob, lunch, "limit=1&from=600"))["messages"][0]["message_id"]

    assert seqs(await page(bob, lunch, f"anchor={middle}&num_before=500&num_after=500")) == list(range(100, 1101))


async def test_without_sign_in_nothing_has_been_read(start):
    rig = await start(AUTH_DISABLED="true")
    async with Person.stranger(rig) as anybody:
        chat = (await anybody.post("/v1/chats", {"chat_name": "rig"})).expecting(201).json["chat_id"]
        guest = (await anybody.post(f"/v1/chats/{chat}/users", {"user_name": "guest"})).expecting(201).json["user_id"]
        for number in range(3):
            path = f"/v1/chats/{chat}/messages?user_id={guest}"
            (await anybody.post(path, {"text": f"{number}"})).expecting(201)

        assert seqs(await page(anybody, chat, "anchor=first_unread&num_before=1&num_after=1")) == [1, 2]
        assert seqs(await page(anybody, chat, "anchor=newest&limit=2")) == [2, 3]


async def test_read_cursors_ride_on_pages_of_chats_that_are_not_large_and_only_if_wanted(alice, bob, lunch, sql):
    def readers(found: dict) -> set[str]:
        return {one["user_id"] for one in found["read_cursors"]}

    for query in ("limit=5", "anchor=newest&limit=5"):
        assert readers(await page(bob, lunch, query)) == {alice.user_id, bob.user_id}
        for _ in range(2):
            assert readers(await page(bob, lunch, f"{query}&read_cursors=false")) == set()
            assert readers(await page(bob, lunch, f"{query}&read_cursors=true")) == {alice.user_id, bob.user_id}
    large = await alice.opens_chat("large", [bob])
    await says(alice, large, "hi")
    for members, shown in ((100, 100), (101, 0)):
        await sql.execute(CROWD, int(large), members)
        await says(alice, large, f"{members} of us")
        found = await page(bob, large, "anchor=newest&limit=1")
        assert len(readers(found)) == shown


CROWD = """
    with made as (
        insert into users (name) select 'one of the crowd'
          from generate_series(1, $2 - (select count(*) from members where chat_id = $1)) returning id
    ) insert into members (chat_id, user_id) select $1, id from made
"""
