"""A small house behind the real guard: no database, a few routes, and a peer that sends whatever bytes it likes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from aiohttp import web

from messenger.errors import AuthFailed
from messenger.settings import read
from messenger.web import body, middlewares, reply
from messenger.web.access import streaming
from messenger.web.app_keys import CONFIG
from messenger.web.server import Deadlines, Runner, make_runner

# What every answer carries, from every place.
SAFE = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "server": "messenger",
}
SHORT = Deadlines(head=0.3, write=0.3, linger=0.2, keepalive=1.0, graceful=0.4)


@dataclass
class Cluster:
    runner: Runner
    port: int
    visits: list[str] = field(default_factory=list)
    doors: dict[str, asyncio.Event] = field(default_factory=dict)

    async def hears(self, *pieces: bytes, pause: float = 0.02) -> "Heard":
        """Everything that is answered until the house hangs up."""
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                for piece in pieces:
                    writer.write(piece)
                    await asyncio.sleep(pause)
                return Heard(await reader.read())
            except ConnectionError:
                return Heard(b"")
            finally:
                writer.transport.abort()

    async def gets(self, path: str, *headers: str, method: str = "GET") -> "Heard":
        return await self.hears(request(method, path, *headers, "Connection: close"))


@dataclass
class Heard:
    raw: bytes

    @property
    def statuses(self) -> list[int]:
        return [int(line.split()[1]) for line in self.raw.split(b"\r\n") if line.startswith(b"HTTP/1.")]

    @property
    def status(self) -> int:
        assert len(self.statuses) == 1, self.raw
        return self.statuses[0]

    @property
    def headers(self) -> dict[str, str]:
        lines = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.raw.partition(b"\r\n\r\n")[2])


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: house", *headers, "", ""]).encode("latin-1") + body


@pytest.fixture
async def opens_house(tmp_path: Any) -> AsyncIterator[Callable[..., Awaitable[Cluster]]]:
    """`await opens_house(CORS_ORIGINS=…)`; deadlines are short ones unless the test brings its own."""
    async with AsyncExitStack() as stack:

        async def opened(deadlines: Deadlines = SHORT, **settings: str) -> Cluster:
            app = web.Application(client_max_size=body.BODY_LIMIT)
            app[CONFIG] = read({"DATA_DIR": str(tmp_path), **settings})
            middlewares.install(app)
            runner = make_runner(app, deadlines)
            house = Cluster(runner, 0)
            _furnish(app, house)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            house.port = site.port
            return house

        yield opened


@pytest.fixture
async def house(opens_house: Callable[..., Awaitable[Cluster]]) -> Cluster:
    return await opens_house()


def _furnish(app: web.Application, house: Cluster) -> None:
    async def ping(request: web.Request) -> web.Response:
        house.visits.append("ping")
        return reply.json({"message": "pong"})

    async def echo(request: web.Request) -> web.Response:
        return reply.json({"bytes": len(await body.read_bytes(request))})

    async def deaf(request: web.Request) -> web.Response:
        """Answers without reading what is sent."""
        return reply.nothing()

    async def broken(request: web.Request) -> web.Response:
        raise RuntimeError("the secret reason")

    async def closed(request: web.Request) -> web.Response:
        raise AuthFailed

    async def moved(request: web.Request) -> web.Response:
        raise web.HTTPFound("/ping")

    async def large(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 20_000_000)

    @streaming
    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Security-Policy": "default-src 'self'"})
        await answer.prepare(request)
        await answer.write(b"first ")
        await house.doors.setdefault("stream", asyncio.Event()).wait()
        await answer.write(b"last")
        return answer

    @streaming
    async def stumbling(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"first ")
        raise RuntimeError("the secret reason")

    async def slow(request: web.Request) -> web.Response:
        house.doors.setdefault("begun", asyncio.Event()).set()
        await house.doors.setdefault("slow", asyncio.Event()).wait()
        return reply.json({"message": "at last"})

    app.add_routes(
        [
            web.get("/ping", ping),
            web.get("/items/{item}", ping),
            web.post("/echo", echo),
            web.post("/deaf", deaf),
            web.get("/broken", broken),
            web.get("/closed", closed),
            web.get("/moved", moved),
            web.get("/large", large),
            web.get("/stream", stream),
            web.get("/stumbling", stumbling),
            web.get("/slow", slow),
        ]
    )
