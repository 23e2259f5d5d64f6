"""The guard at the connection: deadlines and limits that aiohttp leaves open, and answers to what is not HTTP.

`make_runner` is the only way this project serves an application, so tests meet the same protocol as the public.
Deadlines are timers of the loop: none is made for a request that arrives in one piece.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from multidict import istr

from messenger.errors import BadParameters, HeadersTooLarge, InternalError, MessengerError, MethodNotAllowed, UriTooLong
from messenger.web import reply
from messenger.web.app_keys import CONFIG, DRAINING, REQUEST_ID
from messenger.web.clients import PROXIES, Proxies, name_peer
from messenger.web.kept import KEPT, Handle
from messenger.web.listeners import close_kindly
from messenger.web.sockets.links import OPEN_LINKS
from messenger.web.stalls import StallWatch

log = logging.getLogger(__name__)

LINE_LIMIT = 8192
FIELD_LIMIT = 8191  # one less than a line: the parser names only the limit, and so it tells which of them was passed
MAX_HEADERS = 100
TOO_MANY_HEADERS = "Too many headers received"
LET_GO_SECONDS = 1.0  # for a request that is being cut
EXPECT = istr("Expect")
METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
# A verb that the parser does not know, as opposed to bytes of another protocol.
UNKNOWN_METHOD = re.compile(r"b'[A-Za-z]+ [^ ]+ HTTP/1\.[01]'")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """In seconds. Shorter ones are for tests."""

    head: float = 10.0  # from the first byte (of a new connection: from its start) to the end of the headers
    write: float = 10.0  # for a peer to take some of what waits for it (stalls.py)
    linger: float = 3.0  # to swallow a body that nobody wanted, so that the peer can read our answer
    keepalive: float = 75.0
    graceful: float = 10.0  # for requests in flight at a stop
    on_its_way: float = 2.0  # for a proxy to use up the connections it keeps: each answer ends one of them


class Connection(RequestHandler):
    __slots__ = ("_deadlines", "_head_timer", "stall_watch")

    def __init__(self, manager: "GuardedServer", deadlines: Deadlines, **options: Any) -> None:
        super().__init__(manager, **options)
        self._deadlines = deadlines
        self._head_timer: asyncio.TimerHandle | None = None
        # Has a transport of its own: aiohttp forgets its `transport` when it begins to close it.
        self.stall_watch: StallWatch | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.stall_watch = StallWatch(self.transport, self._deadlines.write)
        self._head_timer = self._loop.call_later(self._deadlines.head, self._refuse_slow_head)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._forget_head_timer()
        if self.stall_watch is not None:
            self.stall_watch.forget()
            self.stall_watch = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            if self._head_timer is not None:
                self._forget_head_timer()
            if self._messages:
                self._tell_broken_body()
        elif data and self._head_timer is None and self._waiter is not None and not self._waiter.done():
            # An idle connection has begun a request, and its head is still incomplete.
            self._head_timer = self._loop.call_later(self._deadlines.head, self._refuse_slow_head)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.stall_watch is not None:
            self.stall_watch.forget()
        if self.transport is None:
            self._expect_reading()

    def close(self) -> None:
        request = self._current_request
        # At a stop aiohttp would throw away the rest of a body that is still arriving, and its handler would wait in
        # vain. The connection closes after this answer all the same, since web/middlewares.py tells it to.
        if request is None or request.content.is_eof():
            super().close()

    def force_close(self) -> None:
        super().force_close()
        self._expect_reading()

    async def start(self) -> None:
        await super().start()
        self._expect_reading()

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Requests in flight have this long, then they are cut. aiohttp alone would be deaf to the rest of their
        bodies from the first moment, and would wait as long again before it cancels them."""
        if self.is_of_proxy and not self._request_in_progress:
            await asyncio.sleep(self._deadlines.on_its_way)
        if self._request_in_progress:
            self._handler_waiter = self._loop.create_future()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._handler_waiter
            self._handler_waiter = None
        self.cut()
        await super().shutdown(LET_GO_SECONDS)

    @property
    def is_of_proxy(self) -> bool:
        return isinstance(self._manager, GuardedServer) and self._manager.proxies.include(name_peer(self.peername))

    def cut(self) -> None:
        """End the request that is being answered, whatever it is at."""
        if self._request_in_progress and self._task_handler is not None:
            if isinstance(self._manager, GuardedServer):
                self._manager.requests_cut += 1
            self._task_handler.cancel()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Bytes that are no request, or a failure outside of every middleware. Always the last answer."""
        if isinstance(exc, ConnectionError) or request.writer.output_size > 0:
            raise ConnectionError("The peer left, or an answer has begun.") from exc
        request_id = uuid4().hex
        headers: dict[str, str] = {}
        error: MessengerError
        if isinstance(exc, HttpProcessingError):
            error, headers = _explain(exc)
            log.info("malformed request code=%s address=%s", error.code, name_peer(self.peername))
        else:
            error = InternalError()
            log.error("failed outside of a handler request_id=%s", request_id, exc_info=exc)
        answer = reply.problem(error, request_id)
        answer.headers.update(reply.SAFETY | headers | {"X-Request-ID": request_id})
        answer.force_close()
        return answer

    def _tell_broken_body(self) -> None:
        """A body that stops being HTTP is its reader's bad news at once, not after a deadline, and the only answer."""
        if isinstance(self._messages[-1][0], RawRequestMessage):
            return
        request = self._current_request
        if request is not None and not request.content.is_eof():
            request.content.set_exception(web.RequestPayloadError("The body is not well-formed."))
            request.content.feed_eof()
            self._messages.clear()
            self.close()

    def _refuse_slow_head(self) -> None:
        self._head_timer = None
        log.info("closed: no complete request in time address=%s", name_peer(self.peername))
        self.force_close()

    def _expect_reading(self) -> None:
        """What is unsent while we wait or close must move; a close would wait for it for ever."""
        if self.stall_watch is not None:
            self.stall_watch.expect_reading()

    def _forget_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class GuardedServer(web.Server):
    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        deadlines: Deadlines,
        proxies: Proxies,
        **options: Any,
    ) -> None:
        super().__init__(handler, **options)
        self._deadlines = deadlines
        self.proxies = proxies
        self.requests_cut = 0

    def __call__(self) -> Connection:
        return Connection(self, self._deadlines, loop=self._loop, **self._kwargs)

    def pre_shutdown(self) -> None:
        """Idle connections end, but those of a proxy: it may use one at this moment, and would not know whether what it
        sent was done. They end with an answer, or a moment later."""
        for connection in self.connections:
            if not (isinstance(connection, Connection) and connection.is_of_proxy):
                connection.close()

    def cut_all(self) -> None:
        for connection in self.connections:
            if isinstance(connection, Connection):
                connection.cut()


class Runner(web.AppRunner):
    """An application and the guarded server in front of it."""

    def __init__(self, app: web.Application, deadlines: Deadlines) -> None:
        super().__init__(
            app,
            shutdown_timeout=deadlines.graceful,
            keepalive_timeout=deadlines.keepalive,
            lingering_time=deadlines.linger,
            max_line_size=LINE_LIMIT,
            max_field_size=FIELD_LIMIT,
            max_headers=MAX_HEADERS,
            auto_decompress=False,  # nothing compressed is taken, so nothing can be a bomb
            access_log=None,  # web/recording.py writes one that shows no query string
        )
        self._deadlines = deadlines
        self._in_a_hurry = False
        self.requests_cut = 0
        self.on_ready: Callable[[], None] = lambda: None
        self.on_stopped: Callable[[], None] = lambda: None

    async def setup(self) -> None:
        await super().setup()
        self.on_ready()

    async def cleanup(self) -> None:
        self.drain()
        server = self.server
        if self._in_a_hurry and isinstance(server, GuardedServer):
            server.cut_all()
        await self._stop_listening()
        try:
            await super().cleanup()
        finally:
            if isinstance(server, GuardedServer):
                self.requests_cut = server.requests_cut
            self.on_stopped()

    async def _stop_listening(self) -> None:
        loop = asyncio.get_running_loop()
        for site in self.sites:
            for connection in await close_kindly(cast(asyncio.Server, site._server).sockets, site.stop):
                await loop.connect_accepted_socket(cast(web.Server, self.server), connection)

    def drain(self) -> None:
        """From now on this process is not ready; what it has begun it finishes."""
        self._app[DRAINING].set()

    def hurry(self) -> None:
        """Drain without waiting for anybody."""
        self.drain()
        self._in_a_hurry = True
        for links in self._app.get(OPEN_LINKS, ()):
            links.hurry()
        if isinstance(self.server, GuardedServer):
            self.server.cut_all()

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        make = plain.request_factory

        def make_request(
            message: RawRequestMessage,
            payload: StreamReader,
            protocol: RequestHandler,
            writer: AbstractStreamWriter,
            task: "asyncio.Task[None]",
        ) -> web.BaseRequest:
            return make(without_trailing_slash(message), payload, protocol, writer, task)

        handle = _answer_early_refusals(plain.request_handler)
        return GuardedServer(
            self._app[KEPT].before(handle) if KEPT in self._app else handle,
            self._deadlines,
            self._app[PROXIES],
            request_factory=make_request,
            loop=asyncio.get_running_loop(),
            **plain._kwargs,
        )


def make_runner(app: web.Application, deadlines: Deadlines | None = None) -> Runner:
    """`app` holds its Config, and the middlewares are installed in it."""
    server = app[CONFIG].server
    return Runner(app, deadlines or Deadlines(keepalive=server.keepalive, graceful=server.graceful_timeout))


def without_trailing_slash(message: RawRequestMessage) -> RawRequestMessage:
    """`/ping/` means `/ping`, whatever the method. Routes are declared without the slash."""
    path = message.url.raw_path
    if len(path) > 1 and path.endswith("/"):
        return message._replace(url=message.url.with_path(path[:-1], encoded=True, keep_query=True))
    return message


def _answer_early_refusals(handle: Handle) -> Handle:
    """aiohttp refuses an unknown Expect before any middleware runs, in a form of its own."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await handle(request)
        except web.HTTPExpectationFailed:
            request[REQUEST_ID] = uuid4().hex
            return reply.problem(BadParameters("Expect knows 100-continue only."), request[REQUEST_ID])

    def choose(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        return answer(request) if EXPECT in request.headers else handle(request)

    return choose


def _explain(error: HttpProcessingError) -> tuple[MessengerError, dict[str, str]]:
    """What the parser means, in our words; its own text quotes the sender."""
    if isinstance(error, LineTooLong):
        return (UriTooLong() if LINE_LIMIT in error.args else HeadersTooLarge()), {}
    if error.message == TOO_MANY_HEADERS:
        return HeadersTooLarge(f"A request has at most {MAX_HEADERS} headers."), {}
    if isinstance(error, BadHttpMethod) and UNKNOWN_METHOD.search(error.message):
        return MethodNotAllowed(), {"Allow": METHODS}
    return BadParameters("This is not a well-formed HTTP request."), {}
