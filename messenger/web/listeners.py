"""A listener is closed so that nobody loses a request: who knocks later is refused, and was never let in."""

import asyncio
import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterable

LAST_SECONDS = 0.05  # for handshakes that have begun to end, and for the loop to accept them

SO_ATTACH_FILTER = 26
# A filter of packets: whatever has SYN among its TCP flags (byte 13) is dropped, all else passes.
NO_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


async def let_the_last_in(listeners: Iterable[socket.socket]) -> None:
    """Linux resets the connections that a closed listener has not yet accepted, with the requests in them. So first no
    new ones begin; their peers try again after a second, and are refused then. Elsewhere nothing is done."""
    if sys.platform != "linux":
        return
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in NO_SYN))
    program = struct.pack("HP", len(NO_SYN), ctypes.addressof(code))
    for listener in listeners:
        if listener.family in {socket.AF_INET, socket.AF_INET6}:
            with socket.socket(fileno=os.dup(listener.fileno())) as same:
                same.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    await asyncio.sleep(LAST_SECONDS)
