"""From a request to aiohttp's socket, as strict about masks as RFC 6455 (5.1) wants its servers to be."""

from collections.abc import Callable, Sequence

from aiohttp import WSCloseCode, web
from aiohttp.http_websocket import WebSocketError, WebSocketReader, WebSocketWriter

from messenger.errors import BadParameters, Unavailable
from messenger.web import seats
from messenger.web.body import BODY_LIMIT
from messenger.web.keys import DRAINING
from messenger.web.sockets.masks import Masks


class upgraded:  # noqa: N801  (reads as a word in `async with upgraded(…):`)
    """An open socket in a seat of this person's; refused before the upgrade where that can be said."""

    __slots__ = ("_protocols", "_request", "_seat")

    def __init__(self, request: web.Request, user_id: int, *protocols: str) -> None:
        self._request = request
        self._protocols = protocols
        self._seat = seats.seat(request.app, user_id)

    async def __aenter__(self) -> "Socket":
        socket = Socket(self._protocols)
        if not socket.can_prepare(self._request):
            raise BadParameters("This path speaks WebSocket only.")
        if self._request.app[DRAINING].is_set():
            raise Unavailable("The server stops.", retry_after=1)
        self._seat.__enter__()
        try:
            await socket.prepare(self._request)
        except BaseException:
            self._seat.__exit__()
            raise
        socket.headers.clear()  # they have been sent, and a socket lives long
        return socket

    async def __aexit__(self, *_: object) -> None:
        self._seat.__exit__()


class StrictReader:
    """Stands before aiohttp's reader and looks at the same bytes."""

    __slots__ = ("_fail", "_masks", "_reader")

    def __init__(self, reader: WebSocketReader, fail: Callable[[Exception], None]) -> None:
        self._reader = reader
        self._fail = fail
        self._masks = Masks()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if self._masks.all_set(data):
            return self._reader.feed_data(data)
        self._fail(WebSocketError(WSCloseCode.PROTOCOL_ERROR, "A frame came unmasked."))
        return True, b""

    def feed_eof(self) -> None:
        self._reader.feed_eof()


class Socket(web.WebSocketResponse):
    def __init__(self, protocols: Sequence[str] = ()) -> None:
        # aiohttp refuses what reaches its limit, the contract what passes ours. No compression: small frames only
        # grow by it, and big ones would be bombs.
        super().__init__(protocols=protocols, max_msg_size=BODY_LIMIT + 1, compress=False, autoping=False)

    def _post_start(self, request: web.BaseRequest, chosen: str | None, writer: WebSocketWriter) -> None:
        connection = request.protocol
        early, connection._message_tail = connection._message_tail, b""  # frames that did not wait for our answer
        super()._post_start(request, chosen, writer)
        assert self._reader is not None
        connection._payload_parser = StrictReader(connection._payload_parser, self._reader.set_exception)
        if early:
            connection._payload_parser.feed_data(early)
