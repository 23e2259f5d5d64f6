"""People and servers of the tests: they speak the users' language; every answer is held against the contract."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDictProxy

from tests import sockets
from tests.contract import CONTRACT

PASSWORD = "correct horse"


@dataclass(frozen=True)
class Answer:
    method: str
    path: str
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """The reason of a refusal."""
        return str(self.json["code"])

    @property
    def cookies(self) -> SimpleCookie:
        jar = SimpleCookie()
        for line in self.headers.getall("Set-Cookie", []):
            jar.load(line)
        return jar

    def expecting(self, status: int) -> Self:
        assert self.status == status, f"{self.method} {self.path}: {self.status} {self.body[:500]!r}"
        return self


@dataclass
class Server:
    url: str
    runner: web.AppRunner

    @classmethod
    @asynccontextmanager
    async def running(cls, runner: web.AppRunner) -> AsyncIterator[Self]:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            host, port = runner.addresses[0][:2]
            yield cls(f"http://{host}:{port}", runner)
        finally:
            await runner.cleanup()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@dataclass
class Person:
    """Somebody with a device. Signed in or not is a matter of the headers carried along."""

    server: Server
    http: aiohttp.ClientSession
    name: str = ""
    user_id: str = ""
    credentials: dict[str, Any] = field(default_factory=dict)  # the answer of the last login
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def stranger(cls, server: Server) -> AsyncIterator[Self]:
        # No cookie jar: what is sent is what the test says.
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            yield cls(server, http)

    @classmethod
    @asynccontextmanager
    async def registered(cls, server: Server, name: str, **login: Any) -> AsyncIterator[Self]:
        async with cls.stranger(server) as person:
            await person.registers(name)
            await person.signs_in(name, **login)
            yield person

    @asynccontextmanager
    async def on_another_device(self, server: Server | None = None, **login: Any) -> AsyncIterator[Self]:
        """The same person, signed in once more, perhaps on another worker."""
        async with type(self).stranger(server or self.server) as device:
            await device.signs_in(self.name, **login)
            yield device

    async def asks(self, method: str, path: str, json: Any = None, **options: Any) -> Answer:
        """Any request with this person's credentials; `data`, `headers`, `server` and the like as options."""
        server: Server = options.pop("server", self.server)
        headers = {**self.headers, **options.pop("headers", {})}
        if json is not None:
            options["data"] = msgspec.json.encode(json)
            headers.setdefault("Content-Type", "application/json")
        options.setdefault("allow_redirects", False)
        async with self.http.request(method, server.url + path, headers=headers, **options) as response:
            answer = Answer(method, path, response.status, response.headers, await response.read())
        CONTRACT.check(method, path, answer.status, answer.headers, answer.body)
        return answer

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.asks("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> Answer:
        return await self.asks("POST", path, json, **options)

    async def registers(self, name: str, password: str = PASSWORD, **more: Any) -> Answer:
        answer = await self.post("/v1/auth/register", {"user_name": name, "password": password, **more})
        self.name, self.user_id = name, answer.expecting(201).json["user_id"]
        return answer

    async def signs_in(self, name: str = "", password: str = PASSWORD, **more: Any) -> Answer:
        answer = await self.post("/v1/auth/login", {"user_name": name or self.name, "password": password, **more})
        self.carries(answer.expecting(200).json)
        return answer

    def carries(self, credentials: dict[str, Any]) -> None:
        self.credentials = credentials
        self.name, self.user_id = credentials["user_name"], credentials["user_id"]
        self.headers = {"Authorization": f"session_id {credentials['session_id']}"}

    async def signs_out(self) -> Answer:
        return (await self.post("/v1/auth/logout")).expecting(200)

    def connects(
        self, server: Server | None = None, *, cursor: str | None = None, ticket: str | None = None, **options: Any
    ) -> AbstractAsyncContextManager[sockets.Socket]:
        """Open a socket: `async with alice.connects() as socket`. Options of aiohttp's client pass on."""
        return sockets.connected(self, server or self.server, cursor=cursor, ticket=ticket, **options)

    def streams(
        self, form: sockets.Form = "sse", server: Server | None = None, *, after: str | None = None, **options: Any
    ) -> AbstractAsyncContextManager[sockets.Stream]:
        """The same events without a socket: as `sse`, `ndjson`, or by `poll`."""
        return sockets.streaming(self, server or self.server, form, after=after, **options)

    async def opens_chat(self, name: str, members: Iterable["Person"] = (), **more: Any) -> str:
        """The id of a new chat of this person."""
        body = {"chat_name": name, "member_ids": [one.user_id for one in members], **more}
        return str((await self.post("/v1/chats", body)).expecting(201).json["chat_id"])

    async def talks_to(self, person: "Person") -> str:
        """The id of the direct chat."""
        answer = await self.post(f"/v1/users/{person.user_id}/chat")
        assert answer.status in {200, 201}, answer
        return str(answer.json["chat_id"])

    async def sees(self, chat: str) -> dict[str, Any]:
        return dict((await self.get(f"/v1/chats/{chat}")).expecting(200).json)

    async def invites(self, chat: str, *people: "Person") -> Answer:
        return await self.post(f"/v1/chats/{chat}/members", {"user_ids": [one.user_id for one in people]})

    async def joins(self, chat: str, name: str = "") -> Answer:
        return await self.post(f"/v1/chats/{chat}/users", {"user_name": name or self.name})

    async def makes(self, chat: str, person: "Person", role: str) -> Answer:
        return await self.asks("PATCH", f"/v1/chats/{chat}/members/{person.user_id}", {"role": role})

    async def removes(self, chat: str, person: "Person") -> Answer:
        return await self.asks("DELETE", f"/v1/chats/{chat}/members/{person.user_id}")

    async def leaves(self, chat: str) -> Answer:
        return await self.asks("DELETE", f"/v1/chats/{chat}/members/me")

    async def changes(self, chat: str, **what: Any) -> Answer:
        return await self.asks("PATCH", f"/v1/chats/{chat}", what)

    async def deletes(self, chat: str) -> Answer:
        return await self.asks("DELETE", f"/v1/chats/{chat}")
