"""Attacks on the connection itself (reliability.md groups A and B), by peers that send bytes of their own choice."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

import pytest

from messenger.web.app_keys import DRAINING
from messenger.web.server import Deadlines
from tests.web.conftest import SAFE, SHORT, Cluster, request

Opens = Callable[..., Awaitable[Cluster]]


@pytest.mark.parametrize(
    ("attack", "status", "code"),
    [
        pytest.param(
            request("POST", "/echo", "Content-Length: 4", "Transfer-Encoding: chunked", body=b"0\r\n\r\n")
            + request("GET", "/ping"),
            400,
            "bad-parameters",
            id="two lengths hide a request",
        ),
        pytest.param(
            request("POST", "/echo", "Content-Length: 2", "Content-Length: 3", body=b"abc") + request("GET", "/ping"),
            400,
            "bad-parameters",
            id="length given twice",
        ),
        pytest.param(request("POST", "/echo", "Content-Length: +2", body=b"{}"), 400, "bad-parameters", id="signed"),
        pytest.param(request("POST", "/echo", "Content-Length: 2,2", body=b"{}"), 400, "bad-parameters", id="list"),
        pytest.param(request("GET", "/ping", "A: " + "a" * 20_000), 431, "headers-too-large", id="20 KB header"),
        pytest.param(
            request("GET", "/ping", *(f"A{number}: b" for number in range(500))),
            431,
            "headers-too-large",
            id="500 headers",
        ),
        pytest.param(request("GET", "/ping?" + "a" * 16_384), 414, "uri-too-long", id="16 KB request line"),
        pytest.param(request("FOO", "/ping"), 405, "method-not-allowed", id="unknown verb"),
        pytest.param(b"GET /ping HTTP/1.1\r\n\r\n", 400, "bad-parameters", id="no host"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad-parameters", id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad-parameters", id="HTTP/2"),
        pytest.param(request("GET", "http://[::1/ping"), 400, "bad-parameters", id="half an address"),
        pytest.param(
            request("GET", "/ping", "Expect: 200-maybe", "Connection: close"), 400, "bad-parameters", id="expect"
        ),
    ],
)
async def test_what_is_not_http_is_refused_in_our_words_and_hung_up_on(
    house: Cluster, caplog: pytest.LogCaptureFixture, attack: bytes, status: int, code: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        heard = await house.hears(attack)

    assert heard.status == status
    assert heard.json["code"] == code
    assert heard.headers["content-type"] == "application/problem+json"
    assert heard.headers.items() >= SAFE.items()
    assert heard.headers["x-request-id"] == heard.json["request_id"]
    assert house.visits == []
    assert not any(record.exc_info for record in caplog.records)
    assert all(len(record.getMessage()) < 200 for record in caplog.records)
    assert (await house.gets("/ping")).status == 200


async def test_an_unknown_verb_and_a_wrong_one_hear_which_are_allowed(house: Cluster) -> None:
    assert "GET" in (await house.hears(request("FOO", "/ping"))).headers["allow"]

    for method in ("PUT", "TRACE", "DELETE"):
        heard = await house.gets("/ping", method=method)
        assert (heard.status, heard.headers["allow"]) == (405, "GET, HEAD")
        assert heard.headers.items() >= SAFE.items()


async def test_a_tunnel_is_not_dug(house: Cluster) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(request("CONNECT", "other:80"))

    assert (await reader.readline()).split()[1] in {b"404", b"405"}

    writer.close()


@pytest.mark.parametrize(
    "pieces", [[], [b"GET /ping HTTP/1.1\r\nHo"], [bytes([byte]) for byte in request("GET", "/ping")]]
)
async def test_a_head_that_does_not_arrive_in_time_is_not_waited_for(house: Cluster, pieces: list[bytes]) -> None:
    began = asyncio.get_running_loop().time()

    heard = await house.hears(*pieces, pause=0.05)

    assert heard.raw == b""
    assert asyncio.get_running_loop().time() - began < 3
    assert house.visits == []


async def test_an_idle_connection_lives_on_and_only_its_next_head_has_a_deadline(opens_house: Opens) -> None:
    house = await opens_house(Deadlines(head=0.2, keepalive=60))
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    loop = asyncio.get_running_loop()

    for _ in range(2):
        writer.write(request("GET", "/ping"))
        assert b'"pong"' in await reader.readuntil(b"}")
        await asyncio.sleep(0.4)  # longer than a head may take: the next request must still be answered

    writer.write(b"GET /pi")
    began = loop.time()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    assert loop.time() - began < 3
    writer.close()


async def test_an_idle_connection_ends_after_its_keepalive(opens_house: Opens) -> None:
    house = await opens_house(Deadlines(head=5, keepalive=0.2))
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(request("GET", "/ping"))
    await reader.readuntil(b"}")

    assert await asyncio.wait_for(reader.read(), 5) == b""

    writer.close()


async def test_slow_heads_do_not_slow_honest_people(house: Cluster) -> None:
    crowd = [await asyncio.open_connection("127.0.0.1", house.port) for _ in range(200)]
    for _, writer in crowd:
        writer.write(b"G")

    assert (await house.gets("/ping")).status == 200
    async with asyncio.timeout(5):
        assert await asyncio.gather(*(what_is_left(reader) for reader, _ in crowd)) == [b""] * 200

    for _, writer in crowd:
        writer.close()


async def what_is_left(reader: asyncio.StreamReader) -> bytes:
    """Sent away before its first byte was read, a connection is reset instead of ended."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def test_a_body_that_stops_half_way_is_a_timeout(house: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("messenger.web.body.BODY_SECONDS", 0.2)

    heard = await house.hears(request("POST", "/echo", "Content-Length: 10", body=b"{"))

    assert (heard.status, heard.json["code"]) == (408, "timeout")
    assert heard.headers.items() >= SAFE.items()


async def test_a_body_that_stops_being_http_is_refused_at_once(house: Cluster) -> None:
    heard = await house.hears(request("POST", "/echo", "Transfer-Encoding: chunked"), b"zz\r\n")

    assert (heard.status, heard.json["code"]) == (400, "bad-parameters")


async def test_a_body_that_nobody_reads_does_not_hold_the_connection(house: Cluster) -> None:
    heard = await house.hears(request("POST", "/deaf", "Content-Length: 1000000", body=b"x"))

    assert heard.status == 204


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP"])
async def test_a_compressed_body_is_not_opened(house: Cluster, encoding: str) -> None:
    heard = await house.hears(
        request(
            "POST",
            "/echo",
            f"Content-Encoding: {encoding}",
            "Content-Length: 4",
            "Connection: close",
            body=b"\x1f\x8b\x08\x00",
        )
    )

    assert (heard.status, heard.json["code"]) == (415, "unsupported-encoding")
    assert heard.headers.items() >= SAFE.items()


async def test_a_body_without_end_is_too_large(house: Cluster) -> None:
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"

    heard = await house.hears(request("POST", "/echo", "Transfer-Encoding: chunked"), *[chunk] * 8)

    assert (heard.status, heard.json["code"]) == (413, "too-large")
    assert heard.headers.items() >= SAFE.items()


async def test_a_peer_that_does_not_read_is_hung_up_on(house: Cluster) -> None:
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", house.port))
    deaf.sendall(request("GET", "/large"))

    async with asyncio.timeout(5):
        while house.runner.server is None or not house.runner.server.connections:
            await asyncio.sleep(0.01)
        while house.runner.server.connections:
            await asyncio.sleep(0.01)

    deaf.close()
    assert (await house.gets("/ping")).status == 200


async def test_a_peer_that_reads_slowly_gets_everything(house: Cluster) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port, limit=2**16)
    writer.write(request("GET", "/large", "Connection: close"))
    received = 0
    while piece := await reader.read(500_000):
        received += len(piece)
        await asyncio.sleep(0.005)

    assert received > 20_000_000
    writer.close()


async def test_a_trailing_slash_changes_nothing(house: Cluster) -> None:
    assert (await house.gets("/ping/")).json == {"message": "pong"}
    assert (await house.gets("/ping/?a=1", method="HEAD")).status == 200
    assert (
        await house.hears(request("POST", "/echo/", "Content-Length: 2", "Connection: close", body=b"{}"))
    ).json == {"bytes": 2}
    assert (await house.gets("/ping//")).status == 404


async def test_at_a_stop_what_has_begun_is_finished(opens_house: Opens) -> None:
    house = await opens_house(Deadlines(graceful=5))
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    idle, idle_writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(request("GET", "/slow"))
    await house.doors.setdefault("begun", asyncio.Event()).wait()

    stop = asyncio.create_task(house.runner.cleanup())
    assert await idle.read() == b""
    assert house.runner.app[DRAINING].is_set()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", house.port)
    house.doors["slow"].set()

    assert b"at last" in await reader.read()
    await stop
    assert house.runner.requests_cut == 0
    writer.close()
    idle_writer.close()


async def test_at_a_stop_whoever_has_knocked_is_served(opens_house: Opens) -> None:
    """A proxy sends a request again if its connection was refused, not if it was reset."""
    house = await opens_house(TRUSTED_PROXIES="127.0.0.1")
    with socket.socket() as early, socket.socket() as late:
        early.connect(("127.0.0.1", house.port))
        early.send(request("GET", "/ping"))

        await house.runner.cleanup()

        assert early.recv(12) == b"HTTP/1.1 200"
        with pytest.raises(ConnectionRefusedError):
            late.connect(("127.0.0.1", house.port))


async def test_at_a_stop_a_proxy_may_have_sent_a_request_and_the_connection_ends_with_its_answer(
    opens_house: Opens,
) -> None:
    house = await opens_house(Deadlines(on_its_way=5), TRUSTED_PROXIES="127.0.0.1")
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(request("GET", "/ping"))
    await reader.readuntil(b"pong")

    stop = asyncio.create_task(house.runner.cleanup())
    while house.runner.addresses:
        await asyncio.sleep(0.01)
    writer.write(request("GET", "/ping"))

    async with asyncio.timeout(20):
        answer = await reader.read()
        await stop
    assert b"pong" in answer
    assert b"Connection: close" in answer
    writer.close()


async def test_at_a_stop_a_body_may_still_arrive_and_the_connection_ends_with_its_answer(opens_house: Opens) -> None:
    house = await opens_house(Deadlines(graceful=5))
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(request("POST", "/echo", "Content-Length: 4", body=b"ab"))
    while not (server := house.runner.server) or not server.requests_count:
        await asyncio.sleep(0.01)

    stop = asyncio.create_task(house.runner.cleanup())
    await asyncio.sleep(0.05)
    writer.write(b"cd")

    async with asyncio.timeout(3):
        answer = await reader.read()
        await stop
    assert answer.endswith(b'{"bytes":4}')
    assert b"Connection: close" in answer
    writer.close()


@pytest.mark.parametrize("in_a_hurry", [False, True])
async def test_what_does_not_end_is_cut_and_counted(opens_house: Opens, in_a_hurry: bool) -> None:
    house = await opens_house(Deadlines(graceful=60 if in_a_hurry else SHORT.graceful))
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(request("GET", "/slow"))
    await house.doors.setdefault("begun", asyncio.Event()).wait()

    async with asyncio.timeout(5):
        stop = asyncio.create_task(house.runner.cleanup())
        if in_a_hurry:
            await asyncio.sleep(0.05)
            house.runner.hurry()
        assert await reader.read() == b""
        await stop

    assert house.runner.requests_cut == 1
    writer.close()
