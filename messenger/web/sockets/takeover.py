"""Everything in sockets that leans on aiohttp's inside: its handshake, its way to let a connection go, its mask in C.

aiohttp keeps some 15 KiB for a socket: a request, a parser, two tasks. So its answer to the upgrade is the last thing
that it does. Then the transport gets a protocol of ours (a plain matter of asyncio), and aiohttp is told that its
connection was lost. With `LETS_GO` off it is told so at the socket's end, and its request waits until then; nothing
else differs, so this serves with an aiohttp that does not let go. tests/web/sockets runs both ways.
"""

import asyncio
from collections.abc import Sequence

from aiohttp import web
from aiohttp.http_websocket import WebSocketWriter

try:
    from aiohttp._websocket.helpers import websocket_mask
except ImportError:  # slower, and the same

    def websocket_mask(mask: bytes, data: bytearray) -> None:
        key = (mask * (len(data) // len(mask) + 1))[: len(data)]
        data[:] = (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")


LETS_GO = True


def unmask(payload: bytes, mask: bytes) -> bytes:
    clear = bytearray(payload)
    websocket_mask(mask, clear)
    return bytes(clear)


class EarlyBytes:
    """In the place of aiohttp's parser: keeps what comes before the transport has changed hands."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        pass


class Handshake(web.WebSocketResponse):
    """aiohttp's answer to the upgrade, without what aiohttp would need to speak on the socket itself."""

    def __init__(self, protocols: Sequence[str] = ()) -> None:
        super().__init__(protocols=protocols, compress=False)  # small frames grow by it, and big ones could be bombs
        self._early = EarlyBytes()

    def _post_start(self, request: web.BaseRequest, chosen: str | None, writer: WebSocketWriter) -> None:
        request.protocol.set_parser(self._early)  # type: ignore[arg-type]
        request.protocol.keep_alive(False)

    async def write_eof(self, data: bytes = b"") -> None:
        """The answer has an end, the connection has not."""

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        assert self._req is not None and self._req.transport is not None
        self._req.transport.set_protocol(protocol)
        if self._early.data:
            protocol.data_received(self._early.data)


def let_go(request: web.Request) -> None:
    protocol = request.protocol
    protocol.transport = None  # so that it does not close it
    protocol.connection_lost(None)
