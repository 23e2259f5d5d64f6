"""WebSocket's own rules on the stack that all our sockets use; the numbers are those of Autobahn's cases."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from messenger.web.sockets import takeover
from tests.apps.ws.raw import CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, frame, upgraded
from tests.web.sockets.echo import make_echo

GREEK = "κόσμε".encode()


@pytest.fixture(params=[True, False], ids=["aiohttp lets go", "aiohttp waits"])
async def raw(request, tmp_path, monkeypatch) -> AsyncIterator[RawSocket]:
    monkeypatch.setattr(takeover, "LETS_GO", request.param)
    runner = make_echo(str(tmp_path))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with upgraded(site.port, "/", {}) as raw:
            yield raw
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("size", [0, 125, 126, 127, 128, 65535, 65536], ids=lambda size: f"1.1 {size}")
async def test_text_of_every_length_comes_back(raw, size):
    await raw.says(frame(b"*" * size))

    assert await raw.hears() == (TEXT, b"*" * size)


async def test_text_that_comes_byte_by_byte_is_whole_also_where_characters_are_cut(raw):
    """5.*, 6.2.4, 9.7: in frames of one byte, and each byte of them alone."""
    for at in range(len(GREEK) - 1):
        for piece in frame(GREEK[at : at + 1], CONTINUATION if at else TEXT, fin=False):
            await raw.says(bytes([piece]))
    await raw.says(frame(GREEK[-1:], CONTINUATION))

    assert await raw.hears() == (TEXT, GREEK)


async def test_a_ping_between_fragments_is_answered_before_the_message(raw):
    """5.6, 5.19, 2.10: pongs in the order of their pings, and unasked pongs are no matter (2.7)."""
    await raw.says(
        frame(b"frag", fin=False), frame(b"one", PING), frame(b"unasked", PONG), frame(b"two", PING),
        frame(b"ment", CONTINUATION),
    )  # fmt: skip

    assert [await raw.hears() for _ in range(3)] == [(PONG, b"one"), (PONG, b"two"), (TEXT, b"fragment")]


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        (frame(b"more", CONTINUATION), 1002),
        (frame(b"begun", fin=False) + frame(b"anew"), 1002),
        (frame(b"", fin=False) + frame(b"anew"), 1002),
        (frame(b"x" * 126, PING), 1002),
        (frame(b"x", PING, fin=False), 1002),
        *((frame(b"x", rsv=bits), 1002) for bits in range(1, 8)),
        *((frame(b"x", opcode), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        (frame(GREEK + b"\xed\xa0\x80" + b"edited"), 1007),
        (frame(GREEK, fin=False) + frame(b"\xf4\x90\x80\x80", CONTINUATION), 1007),
    ],
    ids=[f"wrong {number}" for number in range(24)],
)
async def test_a_frame_that_breaks_the_rules_ends_it_after_what_was_said_before(raw, wrong, answer):
    await raw.says(frame(b"hello"), wrong, frame(b"too late"))

    first, last = await raw.hears_until_the_end()
    assert first == (TEXT, b"hello")
    assert (last[0], last[1][:2]) == (CLOSE, answer.to_bytes(2, "big"))
