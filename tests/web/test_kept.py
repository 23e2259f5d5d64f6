"""Answers that are given again before routes and middlewares: the bytes of the long way, and never old ones."""

import asyncio
import logging
import random
import re
from contextlib import AsyncExitStack, suppress

import pytest

from messenger.apps.messages.history import HISTORY
from messenger.web import deadlines, kept
from messenger.web.app_keys import DRAINING
from messenger.web.kept import KEPT, KeptAnswers
from tests.actors import Person, Server
from tests.apps.messages.test_equivalence import History
from tests.apps.talk import says

pytestmark = pytest.mark.shared

PAGES = (
    "/v1/users/me",
    "/v1/users/me/",
    "/v1/chats/{}/messages?limit=50",
    "/v1/chats/{}/messages?anchor=newest&limit=2",
    "/v1/chats/{}/messages?anchor=first_unread&num_before=1&num_after=1",
    "/v1/chats/{}/messages?limit=3&read_cursors=false&from=2",
    "/v1/history/{}",
)
VARYING = re.compile(rb"(?m)^(Date|X-Request-ID|RateLimit|X-RateLimit-Remaining|X-RateLimit-Reset): .*\r$")


@pytest.fixture
def settings():
    return {"WIRE": "none", "THROTTLE_DEFAULT": "100000/1s"}


@pytest.fixture
async def elsewhere(servers, settings):
    """Another process on the same database, which keeps nothing."""
    return await servers({**settings, "APPS": "health,auth,chats,messages,ws,events,search,throttling,presence"})


@pytest.fixture
async def lunch(alice, bob):
    chat = await alice.opens_chat("100% lunch", [bob])
    for number in range(5):
        await says((alice, bob)[number % 2], chat, f'{number} "%" ü \u2028', client_id=f"k{number}")
    return chat


@pytest.fixture
def given(monkeypatch) -> list[bytes]:
    """What was given again, of all servers of the test."""
    found = []

    class Heard(kept.ReadyAnswer):
        def __init__(self, data: bytes) -> None:
            found.append(data)
            super().__init__(data)

    monkeypatch.setattr(kept, "ReadyAnswer", Heard)
    return found


class Wire:
    """One connection, and requests as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def asks(self, path: str, person: Person, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
        lines = [f"{method} {path} HTTP/{version}", "Host: x", f"Authorization: {person.headers['Authorization']}"]
        self.writer.write("\r\n".join([*lines, *headers, "", ""]).encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        is_empty = method == "HEAD" or head.startswith(b"HTTP/1.1 304")
        return head + (await self.reader.readexactly(int(length[1])) if length and not is_empty else b"")


@pytest.fixture
async def to():
    """`await to(server)`: a new connection."""
    wires = []

    async def to(server: Server) -> Wire:
        wires.append(Wire(*await asyncio.open_connection("127.0.0.1", server.port)))
        return wires[-1]

    yield to
    for wire in wires:
        wire.writer.close()
        with suppress(ConnectionError):
            await wire.writer.wait_closed()


def fixed(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    return VARYING.sub(rb"\1", head + b"\r\n") + body


async def test_what_is_given_again_has_the_bytes_of_the_long_way(to, server, elsewhere, alice, bob, lunch, given):
    wire, long = await to(server), await to(elsewhere)
    for path in (one.format(lunch) for one in PAGES):
        for who in (alice, bob):
            answers = [await wire.asks(path, who) for _ in range(5)]
            assert len(given) >= 3, path  # of a path that was asked with two other queries, all
            assert given == answers[-len(given) :]
            assert {fixed(one) for one in answers} == {fixed(await long.asks(path, who))}
            assert len({re.search(rb"X-Request-ID: (\w+)", one)[1] for one in answers}) == 5
            given.clear()


async def test_an_older_client_that_keeps_its_connection_is_answered_in_its_own_version(to, server, alice, given):
    wire = await to(server)
    answers = [await wire.asks("/v1/users/me", alice, "Connection: keep-alive", version="1.0") for _ in range(4)]

    assert len(given) == 2
    assert {fixed(one) for one in answers} == {fixed(answers[0])}


async def test_a_request_that_brings_an_id_is_the_same_request_and_keeps_its_id(to, server, alice, given):
    wire = await to(server)
    ids = ("first", "second", "third", "not sane", "x-Request-ID: twice")

    answers = [await wire.asks("/v1/users/me", alice, f"x-request-id: {one}") for one in ids]
    answers.append(await wire.asks("/v1/users/me", alice))

    assert given == answers[2:]
    assert {fixed(one) for one in answers} == {fixed(answers[0])}
    shown = [re.search(rb"X-Request-ID: ([^\r]+)", one)[1].decode() for one in answers]
    assert shown[:3] == ["first", "second", "third"]
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in shown[3:])


UNUSUAL = (
    'If-None-Match: W/"x"', "If-None-Match: *", "Range: bytes=0-3", "Origin: http://x", "Cookie: a=b",
    "Connection: close", "Content-Length: 0", "Expect: 100-continue", "Expect: else",
    "Authorization: session_id 0", "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT", "Upgrade: websocket",
)  # fmt: skip


@pytest.mark.parametrize("header", UNUSUAL)
async def test_unusual_requests_take_the_long_way(to, server, elsewhere, alice, lunch, given, header):
    path = PAGES[2].format(lunch)
    usual = await to(server)
    for _ in range(3):
        await usual.asks(path, alice)
    assert len(given) == 1

    answers = [await (await to(server)).asks(path, alice, header) for _ in range(4)]

    assert len(given) == 1
    expected = await (await to(elsewhere)).asks(path, alice, header)
    assert {without_id(one) for one in answers} == {without_id(expected)}


@pytest.mark.parametrize("how", [{"version": "1.0"}, {"method": "HEAD"}, {"method": "POST"}])
async def test_other_versions_and_methods_take_the_long_way(to, server, elsewhere, alice, given, how):
    for _ in range(3):
        await (await to(server)).asks("/v1/users/me", alice)
    assert len(given) == 1

    answers = [await (await to(server)).asks("/v1/users/me", alice, **how) for _ in range(4)]

    assert len(given) == 1
    expected = await (await to(elsewhere)).asks("/v1/users/me", alice, **how)
    assert {without_id(one) for one in answers} == {without_id(expected)}


def without_id(answer: bytes) -> bytes:
    return re.sub(rb'"request_id":"\w+"', b"", fixed(answer))


LONG = [pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 12)]


@pytest.mark.parametrize("seed", [1, *LONG])
async def test_no_answer_is_old_whatever_people_do_here_and_elsewhere(to, server, elsewhere, given, seed):
    """Each answer is compared with that of a process which keeps nothing, right after each change."""
    dice = random.Random(seed)
    async with AsyncExitStack() as stack:
        people = [
            await stack.enter_async_context(Person.registered(server, name))
            for name in ("alice", "bob", "carol", "dave", "erin")
        ]
        history = History(dice, list(people), [server, elsewhere])
        history.chats = [await people[0].opens_chat("lunch", people[1:3]), await people[1].opens_chat("tea", people)]
        history.messages = [(one, (await says(people[1], one, "hi"))["message_id"]) for one in history.chats]
        devices = [await stack.enter_async_context(one.on_another_device()) for one in people]
        wires = [(await to(server), await to(elsewhere)) for _ in people]

        async def looks(number: int, paths: list[str], *, compares: bool) -> None:
            here, there = wires[number]
            for path in paths:
                for who in (everybody[number], devices[number])[: 1 + (number < 2)]:
                    seen = await here.asks(path, who)
                    if compares:
                        expected = await there.asks(path, who)
                        assert without_id(seen) == without_id(expected), (path, who.name, history.done)

        everybody = tuple(people)
        for turn in range(25):
            if turn % 9 == 8:
                number = dice.randrange(2)
                await devices[number].asks("POST", "/v1/auth/logout", server=dice.choice([server, elsewhere]))
                history.done.append(f"{everybody[number].name} logs out")
            else:
                await history.goes_on()
            paths = [one.format(chat) for chat in history.chats[:2] for one in PAGES[2:4]] + ["/v1/users/me"]
            for round_ in range(3):  # made, kept, given again: whatever the next turn changes
                await asyncio.gather(*(looks(number, paths, compares=round_ == 0) for number in range(len(wires))))
        assert len(given) > 300, "most of what was not changed is given again"


async def test_a_write_elsewhere_that_is_acknowledged_is_in_the_next_answer(
    to, server, elsewhere, alice, bob, lunch, given
):
    """Readers go on all the time, so that the change meets them at every step."""
    path = PAGES[3].format(lunch)
    acked = 5
    is_over = False

    async def reads() -> int:
        wire, count = await to(server), 0
        while not is_over:
            least = acked
            answer = await wire.asks(path, bob)
            assert max(map(int, re.findall(rb'"seq":(\d+)', answer))) >= least
            count += 1
        return count

    readers = [asyncio.create_task(reads()) for _ in range(4)]
    for number in range(6, 60):
        answer = await alice.post(f"/v1/chats/{lunch}/messages", {"text": "now"}, server=elsewhere)
        acked = answer.expecting(201).json["seq"]
        assert acked == number
        await asyncio.sleep(0.01 * (number % 3))
    is_over = True
    assert sum(await asyncio.gather(*readers)) > len(given) > 0


@pytest.mark.alone
async def test_each_answer_costs_a_token_and_has_a_line_and_a_count(to, start, caplog, given):
    server = await start(WIRE="none", THROTTLE_DEFAULT="burst=8,rate=0.001/s")
    async with Person.registered(server, "alice") as alice:
        wire = await to(server)
        with caplog.at_level(logging.INFO, "messenger.access"):
            answers = [await wire.asks("/v1/users/me", alice) for _ in range(10)]
        left = [re.search(rb"X-RateLimit-Remaining: (\d+)", one)[1] for one in answers]
        assert left == [b"7", b"6", b"5", b"4", b"3", b"2", b"1", b"0", b"0", b"0"]
        assert [one[9:12] for one in answers] == [b"200"] * 8 + [b"429"] * 2
        assert len(given) == 6

        lines = [one.keys for one in caplog.records if one.name == "messenger.access"]
        ids = [re.search(rb"X-Request-ID: (\w+)", one)[1].decode() for one in answers]
        assert [one["request_id"] for one in lines] == ids
        assert {(one["method"], one["route"], one["user_id"], one["address"]) for one in lines} == {
            ("GET", "/v1/users/me", int(alice.user_id), "127.0.0.1")
        }
        async with Person.stranger(server) as nobody:
            metrics = (await nobody.get("/metrics")).body.decode()
        assert re.search(r'requests_total\{[^}]*route="/v1/users/me"[^}]*status="200"[^}]*\} 8\b', metrics), metrics


@pytest.mark.alone
async def test_a_server_that_drains_closes_as_ever(to, server, alice, given):
    wire = await to(server)
    for _ in range(3):
        await wire.asks("/v1/users/me", alice)
    assert len(given) == 1

    server.runner.app[DRAINING].set()

    assert b"\r\nConnection: close\r\n" in await wire.asks("/v1/users/me", alice)
    assert len(given) == 1


@pytest.mark.alone
async def test_a_credential_is_believed_as_long_as_in_memory_and_no_longer_than_it_says(to, start, given):
    server = await start(WIRE="none", SESSION_LIFETIME="100", ACCESS_TOKEN_TTL="4")
    async with Person.registered(server, "alice") as alice:
        for credential, most in (
            (alice.headers["Authorization"], 10),
            (f"Bearer {alice.credentials['access_token']}", 4),
        ):
            alice.headers["Authorization"] = credential
            wire = await to(server)
            began = asyncio.get_running_loop().time()
            for _ in range(3):
                await wire.asks("/v1/users/me", alice)
            (one,) = server.runner.app[KEPT]._kept.values()
            assert began < one.until <= began + most + 1
            server.runner.app[KEPT]._kept.clear()
        assert len(given) == 2


@pytest.mark.alone
async def test_what_is_kept_is_bounded(to, server, alice, bob, lunch, monkeypatch):
    answers: KeptAnswers = server.runner.app[KEPT]
    monkeypatch.setattr(kept, "MOST", 3)
    wire = await to(server)

    async def keeps(*paths: str) -> list[str]:
        for path in paths:
            for _ in range(2):
                await wire.asks(path, alice)
        return [key[0] for key in answers._kept]

    paths = [f"/v1/history/{lunch}?limit={limit}" for limit in range(1, 7)]
    assert await keeps(*paths) == paths[3:]
    assert answers._bytes == sum(one.size for one in answers._kept.values())
    largest = max(one.size for one in answers._kept.values())
    monkeypatch.setattr(kept, "MOST_BYTES", largest)  # too little for that page and anything else
    assert await keeps("/v1/users/me") == ["/v1/users/me"]
    assert 0 < answers._bytes < largest
    monkeypatch.setattr(kept, "LARGEST", 100)
    assert await keeps(paths[0]) == ["/v1/users/me"]


async def test_another_page_at_the_same_path_is_read_without_the_long_way(
    to, server, elsewhere, alice, bob, lunch, given
):
    """With the bytes of the long way, also where there is nothing to read but something to say."""
    path = f"/v1/chats/{lunch}/messages"
    queries = [f"?limit={limit}&from={start}" for limit in (1, 2, 50) for start in range(1, 8)]
    queries += ["?anchor=newest&limit=2", "?anchor=first_unread&limit=3", "?limit=%33", "?limit=2&read_cursors=false"]
    wrong = ["", "?", "?limit=0", "?limit=1&limit=2", "?limit=2&before=77777", "?limit=%ED", "?limit=1001", "#?limit=1"]
    wire, long = await to(server), await to(elsewhere)
    for who in (alice, bob):
        for query in queries[:2]:
            await wire.asks(path + query, who)
        given.clear()
        for query in queries[2:]:
            assert fixed(await wire.asks(path + query, who)) == fixed(await long.asks(path + query, who))
        assert len(given) == len(queries) - 2
        for query in wrong:
            assert without_id(await wire.asks(path + query, who)) == without_id(await long.asks(path + query, who))
        assert len(given) == len(queries) - 2
    await alice.asks("DELETE", f"/v1/chats/{lunch}/members/{bob.user_id}", server=elsewhere)
    assert (await wire.asks(f"{path}?limit=17", bob))[9:12] == b"404"
    await alice.asks("POST", "/v1/auth/logout", server=elsewhere)
    assert (await wire.asks(f"{path}?limit=17", alice))[9:12] == b"401"


@pytest.mark.alone
async def test_who_has_nothing_left_is_refused_before_anything_is_read(to, start, given, monkeypatch):
    server = await start(WIRE="none", THROTTLE_DEFAULT="burst=5,rate=0.001/s")
    pages = server.runner.app[HISTORY]
    read, count = pages.page, []

    async def counted(*arguments):
        count.append(arguments)
        return await read(*arguments)

    monkeypatch.setattr(pages, "page", counted)
    async with Person.registered(server, "alice") as alice:
        chat = await alice.opens_chat("lunch")
        wire = await to(server)
        answers = [await wire.asks(f"/v1/chats/{chat}/messages?limit={limit}", alice) for limit in range(1, 8)]
    assert [one[9:12] for one in answers] == [b"200"] * 4 + [b"429"] * 3
    assert (len(given), len(count)) == (2, 4)


async def test_a_page_that_takes_too_long_is_refused_once_its_time_is_over(
    to, server, alice, lunch, given, monkeypatch
):
    """At the door and on the long way together it has no more time than on the long way alone."""
    path = f"/v1/chats/{lunch}/messages?limit="
    wire = await to(server)
    for limit in range(1, 4):
        await wire.asks(f"{path}{limit}", alice)
    assert len(given) == 1

    async def hangs(*arguments):
        await asyncio.sleep(60)

    monkeypatch.setattr(server.runner.app[HISTORY], "page", hangs)
    for module in (kept, deadlines):
        monkeypatch.setattr(module, "HANDLER_SECONDS", 0.3)
    assert (await wire.asks(f"{path}5", alice))[9:12] == b"503"
    assert len(given) == 1
