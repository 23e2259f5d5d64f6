"""Answers the frames of one socket; closes it after too many refusals or malformed frames."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from messenger.apps.ws import protocol
from messenger.apps.ws.closing import PROTOCOL_ERROR
from messenger.errors import MessengerError, TooManyRequests
from messenger.web.sockets.closing import RATE_LIMITED, Closing
from messenger.web.sockets.outbox import Outbox
from messenger.web.sockets.refusals import Refusals

MOST_MALFORMED = 10
MINUTE = 60.0


class Answers:
    __slots__ = ("_close", "_malformed_at", "_outbox", "_refusals", "_request_id")

    def __init__(self, outbox: Outbox, request_id: str, close: Callable[[Closing], None]) -> None:
        """`request_id`: of the upgrade; it finds this socket in the log."""
        self._outbox = outbox
        self._request_id = request_id
        self._close = close
        self._malformed_at: Sequence[float] = ()
        self._refusals: Refusals | None = None

    def ack(self, ref: str | None, result: Any, replayed: bool = False) -> None:
        if ref is not None:
            self._outbox.put(protocol.ack(ref, result, replayed))

    def pong(self, ref: str | None) -> None:
        self._outbox.put(protocol.encode_frame({"type": "pong"}) if ref is None else protocol.ack(ref, {}))

    def refuse(self, ref: str | None, error: MessengerError) -> None:
        self._outbox.put(protocol.error(ref, error, self._request_id))
        if isinstance(error, TooManyRequests):
            self._refusals = self._refusals or Refusals()
            if self._refusals.note():
                self._close(RATE_LIMITED)

    def refuse_malformed(self, ref: str | None, error: MessengerError) -> None:
        self.refuse(ref, error)
        now = time.monotonic()
        self._malformed_at = [*(at for at in self._malformed_at if now - at < MINUTE), now]
        if len(self._malformed_at) >= MOST_MALFORMED:
            self._close(PROTOCOL_ERROR)
