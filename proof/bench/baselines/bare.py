"""aiohttp with nothing of ours in it: a small answer, and sockets that only stay open.

uvloop, no access log, no middleware: what the product could cost at the least if it did nothing.
"""

import asyncio
import os

import uvloop
from aiohttp import web

HELLO = b'{"user_id":"1","user_name":"somebody","display_name":"","about":"","created_at":"2026-01-01T00:00:00.000Z"}'


async def hello(request: web.Request) -> web.Response:
    return web.Response(body=HELLO, content_type="application/json")


async def listen(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for _ in socket:
        pass
    return socket


async def serve() -> None:
    app = web.Application()
    app.add_routes([web.get("/readyz", hello), web.get("/hello", hello), web.get("/socket", listen)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, os.environ["HOST"], int(os.environ["PORT"])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
