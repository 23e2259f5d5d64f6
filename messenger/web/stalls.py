"""A peer that does not take what is sent to it is cut: else it would hold the memory for ever."""

import asyncio
import logging

from messenger.web.clients import name_peer

log = logging.getLogger(__name__)

LEAST_PROGRESS = 16 * 1024


class StallWatch:
    """Of one transport that has something unsent: in so many seconds at least LEAST_PROGRESS of it must be taken."""

    __slots__ = ("_seconds", "_timer", "_transport")

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def expect_reading(self) -> None:
        if self._timer is None and (unsent := self._transport.get_write_buffer_size()):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds, self._look_again, unsent)

    def forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_again(self, unsent: int) -> None:
        self._timer = None
        left = self._transport.get_write_buffer_size()
        if left == 0 or unsent - left >= LEAST_PROGRESS:
            return self.expect_reading()
        log.info("closed: the peer does not read address=%s", name_peer(self._transport.get_extra_info("peername")))
        self._transport.abort()
