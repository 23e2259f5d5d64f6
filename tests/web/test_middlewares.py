"""What every answer carries and every request leaves behind (reliability.md AT-N1, N2, N10; contract.md section 1)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from messenger.web.server import Deadlines
from tests.web.conftest import SAFE, Cluster, request

pytestmark = pytest.mark.shared

Opens = Callable[..., Awaitable[Cluster]]


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.__dict__["keys"] for record in caplog.records if record.name == "messenger.access"]


@pytest.mark.parametrize(
    ("path", "status"), [("/ping", 200), ("/nowhere", 404), ("/broken", 500), ("/closed", 401), ("/moved", 302)]
)
async def test_every_answer_is_safe_to_show_and_names_its_request(house: Cluster, path: str, status: int) -> None:
    heard = await house.gets(path, "X-Request-ID: their.own:id-1")

    assert heard.status == status
    assert heard.headers.items() >= {**SAFE, "x-request-id": "their.own:id-1"}.items()
    assert "strict-transport-security" not in heard.headers


@pytest.mark.parametrize("offered", ["", "two words", "x" * 129, "é", "<script>", "a\x7f"])
async def test_a_request_id_that_is_not_sane_is_replaced(house: Cluster, offered: str) -> None:
    heard = await house.gets("/ping", f"X-Request-ID: {offered}")

    assert heard.headers["x-request-id"] not in {offered, ""}
    assert heard.headers["x-request-id"].isalnum()


async def test_a_failure_tells_the_log_everything_and_the_client_nothing(
    house: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    heard = await house.gets("/broken", "X-Request-ID: find-me")

    assert heard.json["code"] == "internal"
    assert heard.json["request_id"] == "find-me"
    assert b"secret" not in heard.raw
    (failure,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert failure.exc_info is not None
    assert "find-me" in failure.getMessage()


async def test_who_is_not_signed_in_hears_how(house: Cluster) -> None:
    heard = await house.gets("/closed")

    assert heard.json["code"] == "auth-failed"
    assert b'WWW-Authenticate: session_id realm="messenger"' in heard.raw
    assert b'WWW-Authenticate: Bearer realm="messenger"' in heard.raw


async def test_a_request_leaves_one_line_without_its_query(house: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    await house.gets("/items/42?token=planted-secret")
    await house.gets("/unknown/" + "x" * 300 + "?token=planted-secret")

    known, unknown = lines(caplog)
    assert (known["method"], known["route"], known["status"]) == ("GET", "/items/{item}", 200)
    assert known["address"] == "127.0.0.1"
    assert known["request_id"]
    assert unknown["status"] == 404
    assert len(unknown["route"]) == 100
    assert "planted-secret" not in caplog.text + repr(lines(caplog))


async def test_only_a_trusted_proxy_says_where_a_request_comes_from(
    opens_house: Opens, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    claims = ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")

    direct = await (await opens_house()).gets("/ping", *claims)
    house = await opens_house(TRUSTED_PROXIES="127.0.0.0/8")
    proxied = await house.gets("/ping", *claims)

    refused = [await house.gets(path, *claims) for path in ("/nowhere", "/closed", "/broken")]

    assert [line["address"] for line in lines(caplog)][:2] == ["127.0.0.1", "203.0.113.9"]
    assert "strict-transport-security" not in direct.headers
    for answer in (proxied, *refused):
        assert answer.headers["strict-transport-security"].startswith("max-age=")


async def test_an_answer_that_takes_too_long_is_given_up(house: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("messenger.web.deadlines.HANDLER_SECONDS", 0.1)

    heard = await house.gets("/slow")

    assert (heard.status, heard.json["code"]) == (503, "unavailable")
    assert heard.headers["retry-after"] == "1"


async def test_a_stream_may_take_as_long_as_it_likes_and_keeps_its_own_policy(
    opens_house: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messenger.web.deadlines.HANDLER_SECONDS", 0.05)
    house = await opens_house(Deadlines())
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(request("GET", "/stream", "Connection: close"))
    head = await reader.readuntil(b"first ")
    await asyncio.sleep(0.2)  # several times what an ordinary request may take

    house.doors["stream"].set()

    assert b"last" in await reader.read()
    assert b"X-Content-Type-Options: nosniff" in head
    assert b"Content-Security-Policy: default-src 'self'" in head
    writer.close()


async def test_a_stream_that_fails_is_cut_and_not_answered_twice(house: Cluster) -> None:
    heard = await house.gets("/stumbling")

    assert heard.statuses == [200]
    assert b"problem" not in heard.raw
    assert b"\r\n0\r\n" not in heard.raw  # no proper end: the client must not take it for the whole


async def test_other_origins_are_shut_out_unless_named(opens_house: Opens) -> None:
    ask = ("Origin: https://friend.example", "Access-Control-Request-Method: POST")
    closed, opened = await opens_house(), await opens_house(CORS_ORIGINS="https://friend.example")

    assert (await closed.gets("/closed", *ask, method="OPTIONS")).status == 405
    assert "access-control-allow-origin" not in (await closed.gets("/ping", *ask)).headers

    preflight = await opened.gets("/closed", *ask, "Access-Control-Request-Headers: x-custom", method="OPTIONS")
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "https://friend.example"
    assert preflight.headers["access-control-allow-credentials"] == "true"
    assert preflight.headers["access-control-allow-headers"] == "x-custom"
    refused = await opened.gets("/closed", ask[0])  # a page must be able to read why
    assert refused.status == 401
    assert refused.headers["access-control-allow-origin"] == "https://friend.example"
    assert refused.headers["vary"] == "Origin"

    stranger = await opened.gets("/ping", "Origin: https://friend.example.evil", ask[1], method="OPTIONS")
    assert stranger.status == 405
    assert "access-control-allow-origin" not in stranger.headers


async def test_all_origins_means_nobodys_cookies(opens_house: Opens) -> None:
    heard = await (await opens_house(CORS_ORIGINS="*")).gets("/ping", "Origin: https://any.example")

    assert heard.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in heard.headers
