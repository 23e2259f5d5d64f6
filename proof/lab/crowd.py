"""Those outside of the servers: people with credentials, and followers that come back anywhere with nothing but their
cursor.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
import msgspec

from proof.lab.processes import AWAY
from proof.lab.waiting import PATIENCE

PASSWORD = "correct horse"
CONTROL = {"hello", "ready", "resumed", "ack", "error", "pong", "typing", "presence"}


@dataclass
class Actor:
    """Somebody signed in; every process knows them. Credentials only, so that tests can share them."""

    name: str
    user_id: str
    session_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"session_id {self.session_id}"}


@dataclass(frozen=True)
class Reply:
    status: int
    json: Any
    headers: Any = None


class Place(Protocol):
    """Where something may be asked: a process, or a proxy before it."""

    @property
    def url(self) -> str: ...


class Client:
    """A device of somebody. Says what came back; a process that does not answer raises one of AWAY."""

    def __init__(self, http: aiohttp.ClientSession, actor: Actor) -> None:
        self.http = http
        self.actor = actor

    async def asks(self, process: Place, method: str, path: str, body: Any = None, *, seconds: float = 10) -> Reply:
        async with self.http.request(
            method,
            process.url + path,
            data=None if body is None else msgspec.json.encode(body),
            headers=self.actor.headers,
            timeout=aiohttp.ClientTimeout(total=seconds),
        ) as answer:
            raw = await answer.read()
            return Reply(answer.status, msgspec.json.decode(raw) if raw else None, answer.headers)

    async def get(self, process: Place, path: str) -> Any:
        answer = await self.asks(process, "GET", path)
        assert answer.status == 200, answer
        return answer.json

    async def post(self, process: Place, path: str, body: Any = None) -> Any:
        answer = await self.asks(process, "POST", path, body)
        assert answer.status in {200, 201, 204}, answer
        return answer.json

    async def says(self, process: Place, chat: str, text: str, **keys: Any) -> Any:
        return await self.post(process, f"/v1/chats/{chat}/messages", {"text": text, **keys})

    async def opens_chat(self, process: Place, name: str, members: Sequence[Actor] = ()) -> str:
        ids = [one.user_id for one in members]
        made = await self.post(process, "/v1/chats", {"chat_name": name, "member_ids": ids})
        return str(made["chat_id"])

    async def reads_all(self, process: Place, chat: str) -> list[Any]:
        found: list[Any] = []
        start = "1"
        while True:
            page = await self.get(process, f"/v1/chats/{chat}/messages?limit=1000&from={start}")
            found += page["messages"]
            start = page["next"]["iterator"]
            if not page["messages"]:
                return found

    async def cursor(self, process: Place) -> str:
        return str((await self.get(process, "/v1/sync"))["cursor"])

    @asynccontextmanager
    async def socket(self, process: Place, cursor: str = "") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        url = f"{process.url}/v1/ws" + (f"?cursor={cursor}" if cursor else "")
        socket = await self.http.ws_connect(url, headers=self.actor.headers, max_msg_size=0)
        try:
            yield socket
        finally:
            cut(socket._response)
            await socket.close()

    @asynccontextmanager
    async def hears(
        self, url: str, timeout: aiohttp.ClientTimeout, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        response = await self.http.get(url, headers={**self.actor.headers, **(headers or {})}, timeout=timeout)
        try:
            response.raise_for_status()
            yield response
        finally:
            cut(response)
            response.close()


def cut(response: aiohttp.ClientResponse) -> None:
    """No goodbye: the connection is gone in the middle of whatever was on its way."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


async def sign_up(process: Place, names: Sequence[str]) -> list[Actor]:
    for name in names:
        await _post(process, "/v1/auth/register", {"user_name": name, "password": PASSWORD})
    return [await sign_in(process, name) for name in names]


async def sign_in(process: Place, name: str) -> Actor:
    found = await _post(process, "/v1/auth/login", {"user_name": name, "password": PASSWORD})
    return Actor(name, found["user_id"], found["session_id"])


async def _post(process: Place, path: str, body: Any) -> Any:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        async with http.post(process.url + path, data=msgspec.json.encode(body)) as answer:
            assert answer.status in {200, 201}, await answer.text()
            return msgspec.json.decode(await answer.read())


@asynccontextmanager
async def clients(*actors: Actor) -> AsyncIterator[list[Client]]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield [Client(http, actor) for actor in actors]


# --- followers


class Cut(Exception):
    """The test pulled the plug."""


@dataclass
class Follower:
    """A client that remembers a cursor and nothing else of its connections, and comes back anywhere."""

    client: Client
    way: str  # socket, sse or poll
    cursor: str
    anywhere: Callable[[], Place]
    is_over: Callable[[dict[str, Any]], bool] = lambda event: False
    heard: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)  # what the events were on the wire, to be compared between ways
    pause: float = 0.02  # seconds until it tries again where it was refused
    cuts: int = 0
    ends: Counter[str] = field(default_factory=Counter)  # how connections ended that nobody here cut
    connections: int = 0
    is_at_end: bool = False
    _left: int | None = None

    async def follow(self, plan: Iterable[int] = ()) -> None:
        """Until `is_over`. `plan`: after how many events the plug is pulled, connection by connection."""
        ways = {"socket": self._over_socket, "sse": self._over_sse, "poll": self._over_poll}
        pulls = iter(plan)
        self._left = next(pulls, None)
        while not self.is_at_end:
            self.connections += 1
            try:
                await ways[self.way](self.anywhere())
                self.ends["end"] += 1
            except Cut:
                self.cuts += 1
                self._left = next(pulls, None)
            except AWAY as error:
                self.ends[str(getattr(error, "status", type(error).__name__))] += 1
                await asyncio.sleep(self.pause)

    def take(self, raw: bytes) -> None:
        event = msgspec.json.decode(raw)
        if event["type"] in CONTROL:
            return
        self.heard.append(event)
        self.raw.append(raw)
        self.cursor = event["cursor"]
        self.is_at_end = self.is_over(event)
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Cut

    async def _over_socket(self, process: Place) -> None:
        async with self.client.socket(process, self.cursor) as socket:
            async for frame in socket:
                self.take(frame.data.encode())
                if self.is_at_end:
                    return
            self.ends[str(socket.close_code)] += 1

    async def _over_sse(self, process: Place) -> None:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": self.cursor}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=PATIENCE)
        async with self.client.hears(f"{process.url}/v1/events", timeout, headers) as response:
            rest = b""
            async for piece in response.content.iter_any():
                *blocks, rest = (rest + piece).split(b"\n\n")
                for block in blocks:
                    fields = dict(line.split(b": ", 1) for line in block.splitlines() if line[:1] != b":")
                    if b"data" in fields:
                        self.take(fields[b"data"])
                    elif b"id" in fields:
                        self.cursor = fields[b"id"].decode()
                    if self.is_at_end:
                        return

    async def _over_poll(self, process: Place) -> None:
        """The cursor of the answer is kept only with the events that came with it."""
        url = f"{process.url}/v1/events?wait=5&after={quote(self.cursor)}"
        async with self.client.hears(url, aiohttp.ClientTimeout(total=PATIENCE)) as response:
            answer = msgspec.json.decode(await response.read(), type=Polled)
            for event in answer.events:
                if not self.is_at_end:  # what came after the end in one answer is nobody's
                    self.take(bytes(event))
            if not self.is_at_end:
                self.cursor = answer.cursor

    def said_in(self, chat: str) -> list[int]:
        return [one["message"]["seq"] for one in self.heard if one["type"] == "new_message" and one["chat_id"] == chat]

    def positions(self) -> list[int]:
        return [int(one["cursor"].partition(".")[2]) for one in self.heard]


def ends(event: dict[str, Any]) -> bool:
    """What a test says last, so that its followers know."""
    return bool(event["type"] == "new_message" and event["message"]["text"] == "the end")


class Polled(msgspec.Struct):
    events: list[msgspec.Raw]
    cursor: str


NAMES = count(1)


def new_name(stem: str) -> str:
    return f"{stem}-{os.getpid()}-{next(NAMES)}"
