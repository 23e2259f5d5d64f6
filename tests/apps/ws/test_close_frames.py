"""How a socket is closed by its client, by the rules of RFC 6455, on every socket of this server."""

import asyncio
import json
from contextlib import suppress

import pytest

from tests.apps.ws.raw import CLOSE, PING, PONG, TEXT, frame, raw_socket
from tests.sockets import UPGRADE

pytestmark = pytest.mark.shared

PATHS = ["/v1/ws", "/chats/ws", "/ws/{chat}"]
MAY_BE_SENT = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
MAY_NOT_BE_SENT = [0, 999, 1004, 1005, 1006, 1012, 1013, 1014, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


def code(number: int) -> bytes:
    return number.to_bytes(2, "big")


@pytest.mark.parametrize("path", PATHS)
async def test_a_code_that_may_be_sent_is_answered_with_itself_and_nothing_follows(alice, path):
    path = path.format(chat=await alice.opens_chat("lunch"))
    for payload, answer in [(b"", 1000), *((code(number) + "пока".encode(), number) for number in MAY_BE_SENT)]:
        async with raw_socket(alice, path) as raw:
            await raw.says(frame(payload, CLOSE), frame(b"too late", PING), frame(payload, CLOSE))

            assert await raw.hears_until_the_end() == [(CLOSE, code(answer))], payload


@pytest.mark.parametrize("path", PATHS)
async def test_a_close_frame_that_breaks_the_rules_is_told_so(alice, path):
    path = path.format(chat=await alice.opens_chat("lunch"))
    wrong = [(code(number), 1002) for number in MAY_NOT_BE_SENT]
    wrong += [(b"\x03", 1002), (code(1000) + b"\xff", 1007), (code(1000) + b"\xed\xa0\x80", 1007)]
    for payload, answer in wrong:
        async with raw_socket(alice, path) as raw:
            await raw.says(frame(payload, CLOSE))

            (last,) = await raw.hears_until_the_end()
            assert (last[0], last[1][:2]) == (CLOSE, code(answer)), payload


@pytest.mark.parametrize(
    ("last_frame", "answer"),
    [
        (frame(code(1000), CLOSE), 1000),
        (frame(code(5000), CLOSE), 1002),
        (frame(b"x", rsv=1), 1002),
        (frame(b"\xff"), 1007),
        (frame(b"x", masked=False), 1002),
    ],
    ids=["closed", "closed wrongly", "reserved bit", "not UTF-8", "unmasked"],
)
async def test_what_was_asked_before_the_end_is_answered_before_the_end(alice, last_frame, answer):
    asked = json.dumps({"type": "ping", "ref": "r"}).encode()
    async with raw_socket(alice) as raw:
        await raw.says(frame(asked) + frame(b"there?", PING) + last_frame)

        first, second, last = await raw.hears_until_the_end()
        assert first == (TEXT, b'{"type":"ack","ref":"r","result":{}}')
        assert second == (PONG, b"there?")
        assert (last[0], last[1][:2]) == (CLOSE, code(answer))


@pytest.mark.parametrize("path", PATHS)
async def test_http_1_0_opens_no_socket(alice, path):
    path = path.format(chat=await alice.opens_chat("lunch"))
    headers = {"Host": "here", **UPGRADE, **alice.headers}
    lines = [f"GET {path} HTTP/1.0", *(f"{name}: {value}" for name, value in headers.items())]
    reader, writer = await asyncio.open_connection("127.0.0.1", alice.server.port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        answer = await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()

    head, _, problem = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == b"400", head
    assert json.loads(problem)["detail"] == "This path speaks WebSocket only, over HTTP/1.1."


@pytest.mark.parametrize("path", PATHS)
async def test_who_is_still_sending_what_is_too_big_hears_why_it_is_refused(alice, path):
    """To close a connection while more arrives resets it, and what was said last is lost."""
    path = path.format(chat=await alice.opens_chat("lunch"))
    async with alice.http.ws_connect(alice.server.url + path, headers=alice.headers) as socket:
        with suppress(ConnectionError):
            await socket.send_bytes(bytes(5 << 20))
        while not socket.closed:
            await socket.receive()

        assert socket.close_code == 1009
