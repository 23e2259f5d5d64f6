"""After its upgrade a socket lives by itself, and aiohttp keeps nothing of it: so until aiohttp changes inside."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from messenger.web.server import Runner
from messenger.web.sockets import takeover
from messenger.web.sockets.links import Links
from tests.apps.ws.raw import CLOSE, PING, PONG, TEXT, frame, upgraded
from tests.web.sockets.echo import LINKS, make_echo


@pytest.fixture
async def runner(tmp_path) -> AsyncIterator[Runner]:
    runner = make_echo(str(tmp_path))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner
    finally:
        await runner.cleanup()


def port_of(runner: Runner) -> int:
    return int(runner.addresses[0][1])


def kept(*kinds: type) -> list[object]:
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, kinds)]


async def test_an_idle_socket_has_no_request_no_connection_of_aiohttp_and_no_task(runner):
    tasks, before = asyncio.all_tasks(), kept(RequestHandler, web.BaseRequest, web.StreamResponse)
    async with upgraded(port_of(runner), "/", {}) as raw:
        await raw.says(frame(b"hello"))
        assert await raw.hears() == (TEXT, b"hello")

        assert len(runner.app[LINKS]) == 1
        assert runner.server is not None and runner.server.connections == []
        assert asyncio.all_tasks() == tasks
        left = [one for one in kept(RequestHandler, web.BaseRequest, web.StreamResponse) if one not in before]
        assert left == []

        await raw.says(frame(b"still there?", PING))
        assert await raw.hears() == (PONG, b"still there?")


async def test_where_aiohttp_does_not_let_go_its_request_waits_for_the_socket(runner, monkeypatch):
    monkeypatch.setattr(takeover, "LETS_GO", False)
    async with upgraded(port_of(runner), "/", {}) as raw:
        await raw.says(frame(b"hello"))
        assert await raw.hears() == (TEXT, b"hello")

        assert runner.server is not None and len(runner.server.connections) == 1
        await raw.says(frame((1000).to_bytes(2, "big"), CLOSE))
        assert await raw.hears_until_the_end() == [(CLOSE, (1000).to_bytes(2, "big"))]
        async with asyncio.timeout(5):
            while runner.server.connections or len(runner.app[LINKS]):
                await asyncio.sleep(0.01)


async def test_the_line_in_the_log_is_written_at_the_sockets_end(runner, caplog):
    caplog.set_level("INFO", "messenger.access")
    async with upgraded(port_of(runner), "/", {}) as raw:
        await raw.says(frame(b"hello"))
        await raw.hears()
        assert caplog.records == []
        await asyncio.sleep(0.05)

    async with asyncio.timeout(5):
        while not caplog.records:
            await asyncio.sleep(0.01)
    (line,) = caplog.records
    assert (line.keys["status"], line.keys["route"]) == (101, "/")  # type: ignore[attr-defined]
    assert line.keys["duration_ms"] >= 50  # type: ignore[attr-defined]


async def test_a_server_in_a_hurry_cuts_its_sockets_too(runner):
    async with upgraded(port_of(runner), "/", {}) as raw:
        await raw.says(frame(b"hello"))
        await raw.hears()

        runner.hurry()

        assert await raw.hears_until_the_end() == []


async def test_who_waits_until_all_are_gone_waits_for_the_last_one(runner):
    links: Links = runner.app[LINKS]
    async with upgraded(port_of(runner), "/", {}) as raw:
        await raw.says(frame(b"hello"))
        await raw.hears()
        waiting = asyncio.create_task(links.all_gone(within=60))
        await asyncio.sleep(0)
        assert not waiting.done()

    await asyncio.wait_for(waiting, 5)
    assert len(links) == 0
