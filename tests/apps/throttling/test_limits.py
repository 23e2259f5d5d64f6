"""What people notice of the limits: spam is slowed down to a message a second, everything else goes on."""

import asyncio
import json
import time

import pytest

from tests.actors import Person
from tests.contract import CONTRACT
from tests.sockets import Refused


@pytest.fixture
def settings():
    return {"THROTTLE_SEND": "10/1s"}


async def spam(person, chat, times, **options):
    path = f"/v1/chats/{chat}/messages"
    return [await person.post(path, {"text": f"spam {number}"}, **options) for number in range(times)]


def passed(answers):
    return sum(answer.status == 201 for answer in answers)


async def test_of_twelve_quick_messages_ten_pass_and_then_one_a_second(alice):
    chat, began = await alice.opens_chat("lunch"), time.monotonic()

    answers = await spam(alice, chat, 12)

    assert 10 <= passed(answers) <= 10 + int(time.monotonic() - began)
    refused = answers[-1].expecting(429)
    assert (refused.code, refused.headers["Retry-After"]) == ("request-limit-exceeded", "1")
    while (await alice.post(f"/v1/chats/{chat}/messages", {"text": "at last"})).status == 429:
        await asyncio.sleep(0.05)
    took = time.monotonic() - began
    stored = (await alice.get(f"/v1/chats/{chat}/messages?limit=100")).json["messages"]
    assert len(stored) <= 10 + took
    assert [one["seq"] for one in stored] == list(range(1, len(stored) + 1)), "what was refused burns no number"


class TestWhenToComeBack:
    @pytest.fixture
    def settings(self):
        return {"THROTTLE_SEND": "2/0.5s"}  # one every two seconds

    async def test_it_is_told_right_to_a_second_by_request_and_by_frame(self, alice):
        chat = await alice.opens_chat("lunch")
        path = f"/v1/chats/{chat}/messages"
        async with alice.connects() as socket:

            async def by_request() -> float | None:
                answer = await alice.post(path, {"text": "hello"})
                return float(answer.headers["Retry-After"]) if answer.status == 429 else None

            async def by_frame() -> float | None:
                try:
                    await socket.asks("new_message", chat_id=chat, text="hello")
                except Refused as refused:
                    return float(refused.problem["retry_after"])
                return None

            for asks in (by_request, by_frame):
                while (told := await asks()) is None:
                    pass
                began = time.monotonic()
                while await asks() is not None:
                    await asyncio.sleep(0.2)
                assert time.monotonic() - began >= told - 1, f"{asks}: it was told too late a time"
                while (told := await asks()) is None:
                    pass
                until = time.monotonic() + told
                while (left := until - time.monotonic()) > 0:  # a timer of the loop may come some milliseconds early
                    await asyncio.sleep(left)
                assert await asks() is None, f"{asks}: it was told too early a time"


async def test_the_spam_of_one_does_not_slow_another(alice, bob):
    chat = await alice.opens_chat("lunch", [bob])

    hers, his = await asyncio.gather(spam(alice, chat, 40), spam(bob, chat, 10))

    assert passed(hers) < 40
    assert passed(his) == 10


async def test_messages_of_all_entrances_are_counted_together(alice, bob):
    chat, direct = await alice.opens_chat("lunch"), await alice.talks_to(bob)
    async with alice.connects() as socket:
        answers = await spam(alice, chat, 5)
        answers += [await alice.post(f"/v1/messages/user/{bob.user_id}", {"text": "psst"}) for _ in range(3)]
        frames = [socket.asks("new_message", chat_id=direct, text=f"{number}") for number in range(4)]
        found = await asyncio.gather(*frames, return_exceptions=True)

    assert passed(answers) == 8
    refused = [one.problem for one in found if isinstance(one, Exception)]
    assert 1 <= len(refused) <= 2
    for problem in refused:
        assert problem["code"] == "request-limit-exceeded"
        assert 0 < problem["retry_after"] <= 1


async def test_a_repeat_of_what_is_stored_costs_no_more_than_anything_else(alice):
    path = f"/v1/chats/{await alice.opens_chat('lunch')}/messages"

    answers = [await alice.post(path, {"text": "once", "client_id": "k"}) for _ in range(10)]

    assert [answer.status for answer in answers] == [201] + [200] * 9


async def test_every_limited_answer_says_what_is_left(alice):
    chat = await alice.opens_chat("lunch")
    path = f"/v1/chats/{chat}/messages"

    answers = [await alice.post(path, {"text": "1"}), await alice.post(path, {"text": ""})]
    answers += await spam(alice, chat, 10)

    for answer, left in zip(answers, (9, 9, *range(8, -1, -1), 0), strict=True):
        headers = answer.headers
        assert headers["RateLimit-Policy"] == '"send";q=10;w=10'
        told = int(headers["X-RateLimit-Remaining"])
        assert left <= told <= left + 1, "a slow machine gives one back in between"
        assert headers["X-RateLimit-Limit"] == "10"
        assert headers["X-RateLimit-Reset"] == "1"
        assert headers["RateLimit"] == f'"send";r={told};t=1'
    for path, status in ((f"{path}?limit=1", 200), ("/v1/chats/0", 404), ("/nowhere", 404), ("/v1/events", 200)):
        answer = (await alice.get(path)).expecting(status)
        assert answer.headers["RateLimit"].startswith('"default";r=')


async def test_those_who_look_after_the_server_are_not_limited(start):
    server = await start(THROTTLE_DEFAULT="1/0.01s")
    async with Person.stranger(server) as nobody:
        (await nobody.get("/nowhere")).expecting(404)
        (await nobody.get("/nowhere")).expecting(429)
        for path in ("/ping", "/ping_db", "/healthz", "/readyz", "/metrics", "/docs", "/docs/errors", "/swagger.yml"):
            for _ in range(3):
                assert "RateLimit" not in (await nobody.get(path)).expecting(200).headers, path
        assert b"\nmessenger_rate_limited_total 1.0\n" in (await nobody.get("/metrics")).body


async def test_a_socket_that_does_not_listen_is_closed(alice, bob):
    chat = await alice.opens_chat("lunch", [bob])
    frame = json.dumps({"type": "new_message", "chat_id": chat, "text": "spam"})
    async with alice.connects() as hers, bob.connects() as his:
        for _ in range(200):
            await hers.ws.send_str(frame)

        assert await hers.closes() == 4002
        errors = [one["error"] for one in hers.heard if one["type"] == "error"]
        assert 49 <= len(errors) <= 50
        assert {one["code"] for one in errors} == {"request-limit-exceeded"}
        assert all(0 < one["retry_after"] <= 1 for one in errors)
        await his.asks("new_message", chat_id=chat, text="what was that?")
    async with alice.connects() as again:
        assert await again.asks("ping") == {}


class TestOfEverythingElse:
    @pytest.fixture
    def settings(self):
        return {"THROTTLE_DEFAULT": "12/0.01s", "TRUSTED_PROXIES": "127.0.0.2", "LOGIN_TRIES": "100"}

    @pytest.mark.parametrize("forwarded", ["192.0.2.{}", "2001:db8::{}", "garbage {}, , [::1%eth0]:80"])
    async def test_a_client_cannot_become_another_by_saying_so(self, nobody, forwarded):
        statuses = [
            (await nobody.get("/v1/users/me", headers={"X-Forwarded-For": forwarded.format(number)})).status
            for number in range(15)
        ]

        assert statuses == [401] * 12 + [429] * 3

    async def test_frames_of_a_socket_are_requests_too(self, alice):
        async with alice.connects() as socket:
            found = await asyncio.gather(*(socket.asks("ping") for _ in range(20)), return_exceptions=True)

        refused = [one for one in found if isinstance(one, Exception)]
        assert 8 <= len(refused) <= 10
        assert {one.code for one in refused} == {"request-limit-exceeded"}

    async def test_people_behind_one_address_do_not_share_a_bucket(self, nobody, alice, bob):
        while (await nobody.get("/v1/users/me")).status == 401:
            pass

        assert (await alice.get("/v1/users/me")).status == 200
        assert (await bob.get("/v1/users/me")).status == 200
        assert (await nobody.get("/v1/users/me")).expecting(429).headers["Retry-After"] in {"99", "100"}

    async def test_what_is_no_message_at_all_is_a_request_like_others(self, alice):
        chat = await alice.opens_chat("lunch")
        async with alice.connects() as socket:
            path = f"/v1/chats/{chat}/messages"
            statuses = [(await alice.post(path, {"text": ""})).status for _ in range(14)]
            with pytest.raises(Refused, match="request-limit-exceeded"):
                await socket.asks("new_message", chat_id=chat, text="")

            assert 8 <= statuses.count(400) <= 12
            assert statuses[-1] == 429
            assert await socket.asks("new_message", chat_id=chat, text="a real one")


class TestBehindAProxy:
    @pytest.fixture
    def settings(self):
        return {"THROTTLE_DEFAULT": "3/0.01s", "TRUSTED_PROXIES": "127.0.0.1"}

    async def test_the_hop_before_the_proxy_counts_and_ipv6_by_its_network(self, nobody):
        async def asks(*hops):
            return [(await nobody.get("/v1/chats", headers={"X-Forwarded-For": hop})).status for hop in hops]

        assert await asks(*["198.51.100.7, 192.0.2.1"] * 4) == [401, 401, 401, 429]
        assert await asks("192.0.2.2", "192.0.2.1:4711", "203.0.113.9, 192.0.2.1") == [401, 429, 429]
        assert await asks("2001:db8::1", "2001:db8::2:0:0:1", "[2001:db8::3]:80", "2001:db8::4") == [401, 401, 401, 429]
        assert await asks("2001:db8:0:1::1") == [401]
        assert await asks("fe80::1%eth0", "fe80::1%eth1", "fe80::2", "fe80::3") == [401, 401, 401, 429]
        assert await asks("nonsense", "\tx, y", "1.2.3.4.5", "::::") == [401, 401, 401, 429]


class TestDelayed:
    @pytest.fixture
    def settings(self):
        return {"THROTTLE_SEND": "2/4s", "THROTTLE_DEFAULT": "20/10s", "THROTTLING_MODE": "delay"}

    async def test_who_is_too_fast_waits_and_only_who_would_wait_too_long_is_refused(self, alice):
        chat, began = await alice.opens_chat("lunch"), time.monotonic()
        path = f"/v1/chats/{chat}/messages"

        answers = await asyncio.gather(*(alice.post(path, {"text": f"{number}"}) for number in range(40)))

        took = time.monotonic() - began
        assert 2 + 20 <= passed(answers) <= 2 + 20 + int(4 * took)
        assert 4 < took
        refused = [answer for answer in answers if answer.status == 429]
        assert refused
        assert {answer.headers["Retry-After"] for answer in refused} <= {"1", "2", "3", "4", "5"}

    async def test_messages_of_a_socket_wait_in_their_order(self, alice):
        chat = await alice.opens_chat("lunch")
        async with alice.connects() as socket:
            sent = [socket.asks("new_message", chat_id=chat, text=f"{number}") for number in range(8)]
            found = await asyncio.gather(*sent)

        assert [one["seq"] for one in found] == list(range(1, 9))
        assert [one["text"] for one in found] == [f"{number}" for number in range(8)]

    async def test_frames_wait_as_well(self, alice):
        async with alice.connects() as socket:
            began = time.monotonic()
            await asyncio.gather(*(socket.asks("ping") for _ in range(30)))

        assert time.monotonic() - began >= 0.5


class TestLeftToNginx:
    @pytest.fixture
    def settings(self):
        return {"THROTTLE_SEND": "1/1s", "THROTTLE_DEFAULT": "1/1s", "NGINX_THROTTLING": "1", "LOGIN_TRIES": "3"}

    async def test_nothing_is_limited_but_wrong_passwords(self, alice):
        answers = await spam(alice, await alice.opens_chat("lunch"), 30)

        assert passed(answers) == 30
        assert "RateLimit" not in answers[-1].headers
        guess = {"user_name": "alice", "password": "a guess"}
        assert [(await alice.post("/v1/auth/login", guess)).status for _ in range(4)] == [401, 401, 401, 429]


class TestWithoutSignIn:
    @pytest.fixture
    def settings(self):
        return {"AUTH_DISABLED": "true", "THROTTLE_SEND": "3/0.01s"}

    async def test_messages_are_counted_by_address(self, alice):
        chat = await alice.opens_chat("lunch")
        async with Person.stranger(alice.server) as nobody:
            guests = [(await nobody.joins(chat, f"guest {number}")).json["user_id"] for number in range(2)]
            statuses = [
                (await nobody.post(f"/v1/chats/{chat}/messages?user_id={guests[number % 2]}", {"text": "hi"})).status
                for number in range(5)
            ]

        assert statuses == [201, 201, 201, 429, 429]


def test_all_answers_of_the_api_that_may_be_limited_are_described_so():
    for method, path in CONTRACT.operations:
        operation = CONTRACT.document["paths"][path][method.lower()]
        if operation["x-subapp"] not in {"health", "docs", "metrics", "client"}:
            assert "429" in operation["responses"], f"{method} {path}"
