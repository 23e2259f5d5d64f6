"""Says back what it hears, on the stack that all our sockets use: for test suites of WebSocket itself.

`python -m tests.web.sockets.echo 9001` serves it alone. Binary frames it refuses, as everything here does.
"""

import asyncio
import sys
import tempfile

from aiohttp import web

from messenger.settings import read
from messenger.web import body, middlewares, quota
from messenger.web.access import streaming
from messenger.web.app_keys import CONFIG
from messenger.web.server import Runner, make_runner
from messenger.web.sockets.frames import framed
from messenger.web.sockets.link import Link, Pace
from messenger.web.sockets.outbox import Post
from messenger.web.sockets.upgrade import upgraded

POST: web.AppKey[Post] = web.AppKey("echo_post", Post)


@streaming
async def echo(request: web.Request) -> web.StreamResponse:
    async with upgraded(request, 1) as socket:
        link = Link(request, socket, request.app[POST], Pace(), lambda: None)
        link.start()
        try:
            while (words := await link.next_text()) is not None:
                link.outbox.put(framed(words))
        finally:
            link.stop()
            await link.ended()
    return socket


def make_echo(data_dir: str) -> Runner:
    app = web.Application(client_max_size=body.BODY_LIMIT)
    app[CONFIG] = read({"DATA_DIR": data_dir, "MAX_SOCKETS_PER_USER": "1000"})
    app[POST] = Post()
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
