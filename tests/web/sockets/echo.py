"""Says back what it hears, on the stack that all our sockets use: for test suites of WebSocket itself.

`python -m tests.web.sockets.echo 9001` serves it alone. Binary frames it refuses, as everything here does.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator

from aiohttp import web

from messenger.settings import read
from messenger.web import body, middlewares, quota
from messenger.web.access import streaming
from messenger.web.app_keys import CONFIG
from messenger.web.server import Runner, make_runner
from messenger.web.sockets.frames import framed
from messenger.web.sockets.link import Link
from messenger.web.sockets.links import OPEN_LINKS, Links, Pace
from messenger.web.sockets.upgrade import serve as serve_socket

LINKS: web.AppKey[Links] = web.AppKey("echo_links", Links)


class Echo:
    """The Owner of a link."""

    def __init__(self, link: Link) -> None:
        self.link = link

    async def open(self) -> None: ...

    def hear(self, text: bytes) -> None:
        self.link.outbox.put(framed(text))

    def give_up(self) -> None: ...

    async def ended(self) -> None: ...

    def restart(self) -> None: ...


@streaming
async def echo(request: web.Request) -> web.StreamResponse:
    return await serve_socket(request, request.app[LINKS], 1, Echo)


async def context(app: web.Application) -> AsyncIterator[None]:
    app[LINKS] = Links(Pace(close=0.2))
    app[OPEN_LINKS].append(app[LINKS])
    yield
    app[LINKS].hurry()
    await app[LINKS].all_gone(5)


def make_echo(data_dir: str) -> Runner:
    app = web.Application(client_max_size=body.BODY_LIMIT)
    app[CONFIG] = read({"DATA_DIR": data_dir, "MAX_SOCKETS_PER_USER": "1000"})
    app[OPEN_LINKS] = []
    app.cleanup_ctx.append(context)
    middlewares.install(app)
    quota.setup(app)
    app.router.add_get("/", echo, allow_head=False)
    return make_runner(app)


async def serve(port: int) -> None:
    with tempfile.TemporaryDirectory() as data_dir:
        runner = make_echo(data_dir)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
