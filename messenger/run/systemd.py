"""What systemd hears of a service that it started with Type=notify: ready, alive, stopping. Others hear nothing."""

import os
import socket
from contextlib import suppress

READY, ALIVE, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"


class Systemd:
    def __init__(self) -> None:
        # Taken away: gunicorn would say that it is ready before a worker is.
        address = os.environ.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # @: a name without a file

    def tell(self, what: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
            way.sendto(what.encode(), self._address)
