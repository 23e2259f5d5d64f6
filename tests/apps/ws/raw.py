"""A WebSocket by hand: bytes that no decent client would send."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.actors import Person
from tests.sockets import UPGRADE

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b""
    length = length or b"\x7f" + size.to_bytes(8, "big")
    if not masked:
        return bytes([first]) + length + payload
    mask = os.urandom(4)
    words = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([first, length[0] | 0x80]) + length[1:] + mask + words


@dataclass
class RawSocket:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def says(self, *pieces: bytes) -> None:
        self.writer.write(b"".join(pieces))
        await self.writer.drain()

    async def hears(self) -> tuple[int, bytes]:
        """The opcode and the payload of the next frame."""
        async with asyncio.timeout(5):
            first, second = await self.reader.readexactly(2)
            assert not second & 0x80, "a server never masks"
            size = second & 0x7F
            if size > 125:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            return first & 0x0F, await self.reader.readexactly(size)

    async def hears_until_the_end(self) -> list[tuple[int, bytes]]:
        """Every frame that still comes, up to the end of the connection."""
        frames = []
        try:
            while True:
                frames.append(await self.hears())
        except asyncio.IncompleteReadError as end:
            assert not end.partial, "the server stopped in the middle of a frame"
            return frames

    async def is_closed_with(self) -> int | None:
        """The code, after whatever else still comes; None: cut without a word."""
        try:
            while True:
                opcode, payload = await self.hears()
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2], "big")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None


@asynccontextmanager
async def raw_socket(
    person: Person, path: str = "/v1/ws", *, early: bytes = b"", receive_buffer: int | None = None, greeted: bool = True
) -> AsyncIterator[RawSocket]:
    async with upgraded(person.server.port, path, person.headers, early, receive_buffer) as raw:
        if greeted and path == "/v1/ws":
            assert b'"hello"' in (await raw.hears())[1]
            assert b'"ready"' in (await raw.hears())[1]
        yield raw


@asynccontextmanager
async def upgraded(
    port: int, path: str, headers: Mapping[str, str], early: bytes = b"", receive_buffer: int | None = None
) -> AsyncIterator[RawSocket]:
    """`early`: sent together with the request for the upgrade."""
    wire = socket.socket()
    if receive_buffer is not None:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    wire.setblocking(False)
    await asyncio.get_running_loop().sock_connect(wire, ("127.0.0.1", port))
    # A small limit: what asyncio has not room for stays in the kernel.
    reader, writer = await asyncio.open_connection(sock=wire, limit=4096)
    lines = [f"GET {path} HTTP/1.1", "Host: here", *(f"{k}: {v}" for k, v in {**UPGRADE, **headers}.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode() + early)
    try:
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        yield RawSocket(reader, writer)
    finally:
        writer.close()
