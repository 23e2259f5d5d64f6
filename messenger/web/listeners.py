"""A listener is closed so that nobody loses a request: who has knocked is let in, who knocks later is refused."""

import os
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress


async def close_kindly(listeners: Iterable[socket.socket], close: Callable[[], Awaitable[None]]) -> list[socket.socket]:
    """Systems reset the connections that a closed listener has not accepted, with the requests in them. So these are
    accepted at the very last moment, and are the caller's to serve."""
    doors = [socket.socket(fileno=os.dup(one.fileno())) for one in listeners]  # open until the last of them is closed
    await close()
    let_in: list[socket.socket] = []
    for door in doors:
        with door, suppress(OSError):  # nobody waits any more
            door.setblocking(False)
            while True:
                connection, _ = door.accept()
                connection.setblocking(False)
                let_in.append(connection)
    return let_in
