"""From a request to aiohttp's socket, as strict about frames as RFC 6455 wants its servers to be."""

from collections.abc import Callable, Sequence

from aiohttp import HttpVersion11, WSCloseCode, web
from aiohttp.http_websocket import WebSocketError, WebSocketReader, WebSocketWriter

from messenger.errors import BadParameters, Unavailable
from messenger.web.app_keys import DRAINING
from messenger.web.body import BODY_LIMIT
from messenger.web.quota import ConnectionQuota
from messenger.web.sockets.frames import FrameBoundaries


class upgraded:  # noqa: N801  (reads as a word in `async with upgraded(…):`)
    """An open socket within this person's quota; refused before the upgrade where possible."""

    __slots__ = ("_protocols", "_request", "_quota")

    def __init__(self, request: web.Request, user_id: int, *protocols: str) -> None:
        self._request = request
        self._protocols = protocols
        self._quota = ConnectionQuota(request.app, user_id)

    async def __aenter__(self) -> "Socket":
        socket = Socket(self._protocols)
        if self._request.version < HttpVersion11 or not socket.can_prepare(self._request):
            raise BadParameters("This path speaks WebSocket only, over HTTP/1.1.")
        if self._request.app[DRAINING].is_set():
            raise Unavailable("The server stops.", retry_after=1)
        self._quota.__enter__()
        try:
            await socket.prepare(self._request)
        except BaseException:
            self._quota.__exit__()
            raise
        socket.headers.clear()  # they are sent, and a socket lives long
        return socket

    async def __aexit__(self, *_: object) -> None:
        self._quota.__exit__()


class StrictReader:
    """Checks the bytes before aiohttp's reader gets them."""

    __slots__ = ("_boundaries", "_fail", "_reader")

    def __init__(self, reader: WebSocketReader, fail: Callable[[Exception], None]) -> None:
        self._reader = reader
        self._fail = fail
        self._boundaries = FrameBoundaries()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        good = self._boundaries.count_good(data)
        if good == len(data):
            return self._reader.feed_data(data)
        self._reader.feed_data(data[:good])
        self._fail(WebSocketError(WSCloseCode.PROTOCOL_ERROR, "A frame came unmasked, or a message within another."))
        return True, b""

    def feed_eof(self) -> None:
        self._reader.feed_eof()


class Socket(web.WebSocketResponse):
    def __init__(self, protocols: Sequence[str] = ()) -> None:
        # aiohttp refuses messages of its limit, the contract those above ours. No compression: small frames
        # grow by it, and big ones could be bombs.
        super().__init__(
            protocols=protocols,
            max_msg_size=BODY_LIMIT + 1,
            compress=False,
            autoping=False,
            autoclose=False,
            decode_text=False,
        )
        self.before_close: Callable[[], None] = lambda: None

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        self.before_close()
        return await super().close(code=code, message=message, drain=drain)

    def _post_start(self, request: web.BaseRequest, chosen: str | None, writer: WebSocketWriter) -> None:
        connection = request.protocol
        early, connection._message_tail = connection._message_tail, b""  # frames sent before our answer
        super()._post_start(request, chosen, writer)
        assert self._reader is not None
        connection._payload_parser = StrictReader(connection._payload_parser, self._reader.set_exception)
        if early:
            connection._payload_parser.feed_data(early)
