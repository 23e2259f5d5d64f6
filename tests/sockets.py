"""Live clients of the tests: a socket, and the same events as SSE, NDJSON or long-poll. All of them `hear`.

Every frame is held against asyncapi.yml and kept; that positions rise, and that what has a `ref` is answered exactly
once, is looked after here for every test.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType

from tests.contract import CONTRACT
from tests.frames import FRAMES

if TYPE_CHECKING:
    from tests.actors import Person, Server

SOON = 20.0  # seconds, on a busy machine
PROTOCOL = "messenger.v1"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
MEDIA = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}

Event = dict[str, Any]
Form = Literal["sse", "ndjson", "poll"]


class Refused(Exception):
    """The server said no: to the upgrade, or to one frame."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem["code"], problem["detail"])
        self.code: str = problem["code"]
        self.status: int = problem["status"]
        self.problem = problem


class Listener:
    """Keeps what comes and hands it out. What its reader finds wrong fails the next use of it."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []  # every frame as it came
        self.heard: list[Event] = []  # every frame that is no answer, in order
        self._waiting: list[Event] = []
        self._news = asyncio.Condition()
        self._is_over = False
        self._reader: asyncio.Task[None] | None = None
        self._position = -1
        self._may_go_back = False

    @property
    def cursor(self) -> str:
        """Of the last durable event."""
        return next(str(event["cursor"]) for event in reversed(self.heard) if "cursor" in event)

    async def hears(self, kind: str | None = None, within: float = SOON) -> Event:
        """The next event, or the next of this kind; the others stay for later."""
        try:
            async with asyncio.timeout(within), self._news:
                while True:
                    self._complain()
                    found = next((event for event in self._waiting if kind in {None, event["type"]}), None)
                    if found is not None:
                        self._waiting.remove(found)
                        return found
                    assert not self._is_over, f"the stream is over, no {kind or 'event'} came; heard: {self.heard}"
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(
                f"no {kind or 'event'} came within {within} s; the last heard: {self.heard[-10:]}"
            ) from None

    def hears_at_once(self) -> list[Event]:
        """What has come and was not taken yet."""
        self._complain()
        taken, self._waiting = self._waiting, []
        return taken

    async def _take(self, event: Event) -> None:
        self._must_rise(event)
        async with self._news:
            self.heard.append(event)
            self._waiting.append(event)
            self._news.notify_all()

    def _must_rise(self, event: Event) -> None:
        if event["type"] in {"resumed", "resync"}:
            self._may_go_back = False
        if "cursor" not in event or event["type"] == "limited":
            return
        position = int(event["cursor"].partition(".")[2])
        equal_is_fine = event["type"] in {"resumed", "resync"}
        assert self._may_go_back or position > self._position or (equal_is_fine and position == self._position), (
            f"{event['type']} at {position} comes after {self._position}"
        )
        self._position = position

    def _complain(self) -> None:
        if self._reader is not None and self._reader.done() and not self._reader.cancelled():
            error = self._reader.exception()
            if error is not None:
                raise error

    async def _run(self, read: Callable[[], Any]) -> None:
        try:
            await read()
        finally:
            async with self._news:
                self._is_over = True
                self._news.notify_all()

    async def _end(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader


class Socket(Listener):
    """An open socket of `messenger.v1`. The greeting is taken already: `hello` and `ready`."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        super().__init__()
        self.ws = ws
        self.hello: Event = {}
        self.ready: Event = {}
        self._asked: dict[str, tuple[Event, asyncio.Future[Event]]] = {}
        self._answered: set[str] = set()
        self._numbers = 0

    async def asks(self, verb: str, **fields: Any) -> Any:
        """Say it and wait for the ack; its result. Raises Refused."""
        return (await self.asked(verb, **fields))["result"]

    async def asked(self, verb: str, **fields: Any) -> Event:
        """The same, and the whole ack."""
        answer = await self.sends(verb, **fields)
        return await asyncio.wait_for(answer, SOON)

    async def sends(self, verb: str, **fields: Any) -> "asyncio.Future[Event]":
        """Say it; the answer comes later: many may be under way."""
        self._complain()
        self._numbers += 1
        ref = fields.setdefault("ref", f"r{self._numbers}")
        frame = {"type": verb, **fields}
        answer: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._asked[ref] = (frame, answer)
        if verb == "resume":
            self._may_go_back = True
        await self.says(json.dumps(frame, ensure_ascii=False))
        return answer

    async def says(self, words: str | bytes) -> None:
        """Just these words, as text or binary; whatever comes of it is heard."""
        await (self.ws.send_str(words) if isinstance(words, str) else self.ws.send_bytes(words))

    async def closes(self, within: float = SOON) -> int:
        """Wait for the server to close it; with which code."""
        assert self._reader is not None
        done, _ = await asyncio.wait([self._reader], timeout=within)
        assert done, f"the socket stayed open; heard: {self.heard}"
        self._complain()
        assert self.ws.close_code is not None
        return self.ws.close_code

    async def _read(self) -> None:
        reason: BaseException | None = None
        try:
            async for message in self.ws:
                assert message.type is WSMsgType.TEXT, f"{message.type} is no text frame"
                await self._hear(message.data)
        except BaseException as error:
            reason = error
            raise
        finally:
            gone = reason or ConnectionResetError(f"closed with {self.ws.close_code} before the answer came")
            for _, answer in self._asked.values():
                settle(answer, gone)

    async def _hear(self, words: bytes) -> None:
        self.raw.append(words)
        frame = json.loads(words)
        ref = frame.get("ref")
        asked, answer = self._asked.pop(ref, ({}, None)) if ref is not None else ({}, None)
        FRAMES.check("heard", frame, answering=asked.get("type"))
        if answer is None:
            assert ref is None or frame["type"] == "error", f"an answer to nothing, or a second one: {frame}"
            assert ref not in self._answered, f"a second answer: {frame}"
            if frame["type"] in {"hello", "ready"}:
                await self._greeted(frame)
            else:
                await self._take(frame)
            return
        self._answered.add(ref)
        if frame["type"] == "ack":
            FRAMES.check("said", asked)  # what is granted must be described; what is refused need not be
            self._must_not_be_late(asked, frame)
        if frame["type"] == "error":
            settle(answer, Refused(frame["error"]))
        elif not answer.done():  # else the caller did not wait for it
            answer.set_result(frame)

    def _must_not_be_late(self, asked: Event, ack: Event) -> None:
        """An ack never comes after an event with a higher position."""
        if asked["type"] == "new_message" and "replayed" not in ack and not self._may_go_back:
            position = int(ack["result"]["message_id"])
            assert position > self._position, f"the ack of {position} comes after {self._position}"

    async def _greeted(self, frame: Event) -> None:
        async with self._news:
            if frame["type"] == "hello":
                assert not self.hello and not self.raw[:-1], "hello is the first frame, and comes once"
                self.hello = frame
            else:
                assert self.hello and not self.ready, "ready comes once, after hello"
                self.ready = frame
            self._news.notify_all()

    async def _wait_for_greeting(self) -> None:
        async with asyncio.timeout(SOON), self._news:
            while not self.ready:
                self._complain()
                assert not self._is_over, f"closed with {self.ws.close_code} before it was ready"
                await self._news.wait()


def settle(answer: "asyncio.Future[Event]", error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # a caller that did not wait for it misses nothing


@asynccontextmanager
async def connected(
    person: "Person",
    server: "Server",
    *,
    cursor: str | None = None,
    ticket: str | None = None,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[Socket]:
    """With the person's credentials, or a ticket alone. Raises Refused when the server does not upgrade."""
    given = {name: value for name, value in (("cursor", cursor), ("ticket", ticket)) if value is not None}
    path = "/v1/ws" + (f"?{urlencode(given)}" if given else "")
    sent = {**({} if ticket is not None else person.headers), **(headers or {})}
    options.setdefault("protocols", (PROTOCOL,))
    try:
        ws = await person.http.ws_connect(server.url + path, headers=sent, decode_text=False, **options)
    except aiohttp.WSServerHandshakeError as error:
        problem = await knocks(person, server, path, sent)
        assert problem["status"] == error.status, f"refused with {error.status}, then otherwise: {problem}"
        raise Refused(problem) from None
    CONTRACT.check("GET", path, 101, ws._response.headers, b"")
    socket = Socket(ws)
    socket._reader = asyncio.create_task(socket._run(socket._read))
    try:
        await socket._wait_for_greeting()
        if "resumed" in socket.ready and socket.ready["resumed"] is False:
            socket._position = int(socket.ready["cursor"].partition(".")[2])
        yield socket
        socket._complain()
    finally:
        await socket._end()
        await ws.close()


async def knocks(person: "Person", server: "Server", path: str, headers: dict[str, str]) -> dict[str, Any]:
    """The same request for an upgrade, for the refusal's body, which a socket client throws away."""
    async with (
        asyncio.timeout(SOON),
        person.http.get(server.url + path, headers={**headers, **UPGRADE}) as response,
    ):
        body = await response.read()
    CONTRACT.check("GET", path, response.status, response.headers, body)
    return dict(json.loads(body))


class Stream(Listener):
    """`GET /v1/events`: an event stream, lines of JSON, or one poll after the other.

    `raw` holds the bytes of each event without what the transport wraps around it.
    """

    async def closes(self, within: float = SOON) -> None:
        """Wait for the server to end it."""
        assert self._reader is not None
        done, _ = await asyncio.wait([self._reader], timeout=within)
        assert done, f"the stream stayed open; heard: {self.heard}"
        self._complain()

    async def _hear(self, words: bytes) -> Event:
        self.raw.append(words)
        event: Event = json.loads(words)
        FRAMES.check("heard", event, channel="stream")
        await self._take(event)
        return event

    async def _read_sse(self, response: aiohttp.ClientResponse) -> None:
        fields: dict[bytes, bytes] = {}
        async for line in response.content:
            name, _, value = line.rstrip(b"\n").partition(b": ")
            if name and not line.startswith(b":"):
                fields[name] = value
            elif line == b"\n" and b"data" in fields:
                event = await self._hear(fields[b"data"])
                assert fields[b"event"].decode() == event["type"]
                assert fields[b"id"].decode() == event["cursor"]
                fields = {}

    async def _read_lines(self, response: aiohttp.ClientResponse) -> None:
        async for line in response.content:
            if line != b"\n":
                await self._hear(line.rstrip(b"\n"))


@asynccontextmanager
async def streaming(
    person: "Person",
    server: "Server",
    form: Form = "sse",
    *,
    after: str | None = None,
    headers: dict[str, str] | None = None,
    wait: int = 25,
) -> AsyncIterator[Stream]:
    """From a cursor, or from now on. Raises Refused when there is no stream."""
    stream = Stream()
    if form == "poll":
        if after is None:
            after = (await person.get("/v1/events", server=server, headers=headers or {})).expecting(200).json["cursor"]
        start: str = after
        stream._reader = asyncio.create_task(
            stream._run(lambda: polling(person, server, stream, start, wait, headers or {}))
        )
        async with ended(stream):
            yield stream
        return
    query = urlencode({"format": form, **({"after": after} if after is not None else {})})
    path = f"/v1/events?{query}"
    sent = {**person.headers, **(headers or {})}
    timeout = aiohttp.ClientTimeout(total=None)
    async with person.http.get(server.url + path, headers=sent, timeout=timeout) as response:
        if response.status != 200:
            body = await response.read()
            CONTRACT.check("GET", path, response.status, response.headers, body)
            raise Refused(json.loads(body))
        CONTRACT.check("GET", path, 200, response.headers, b"")
        assert response.content_type == MEDIA[form]
        read = stream._read_sse if form == "sse" else stream._read_lines
        stream._reader = asyncio.create_task(stream._run(lambda: read(response)))
        async with ended(stream):
            yield stream


@asynccontextmanager
async def ended(stream: Stream) -> AsyncIterator[None]:
    try:
        yield
        stream._complain()
    finally:
        await stream._end()


async def polling(
    person: "Person", server: "Server", stream: Stream, after: str, wait: int, headers: dict[str, str]
) -> None:
    while True:
        path = f"/v1/events?{urlencode({'after': after, 'wait': wait})}"
        answer = (await person.get(path, server=server, headers=headers)).expecting(200)
        for words in split_events(answer.body):
            await stream._hear(words)
        after = answer.json["cursor"]


def split_events(body: bytes) -> list[bytes]:
    """The events of a long-poll, byte for byte as they were sent."""
    found, at = [], len(b'{"events":[')
    text = body.decode()
    decoder = json.JSONDecoder()
    while text[at] != "]":
        start = at
        _, at = decoder.raw_decode(text, at)
        found.append(text[start:at].encode())
        at += text[at] == ","
    return found
