"""S5: readers on kept-alive connections, each asking for the next page when it has the last one."""

import asyncio
import random
from time import perf_counter
from typing import Any

from proof.bench.load.tally import SETTLING, Tally, figures_of

END = b"\r\n\r\n"
LENGTH = b"Content-Length: "
OK = b"HTTP/1.1 200"


class Reader(asyncio.Protocol):
    """`paths` are dealt anew for every request; what came back must hold `counted` that many times."""

    def __init__(self, tally: Tally, spec: dict[str, Any], token: str, number: int) -> None:
        self.tally = tally
        self.transport: asyncio.Transport
        self.is_waiting = False
        self._credential = f"Authorization: session_id {token}\r\n" if token else ""
        self._path, self._span = spec["path"], spec["span"]
        self._marked = spec["marked"].encode()
        self._most = spec["most"]
        self._random = random.Random(number)  # noqa: S311
        self._data = b""
        self._asked_at = 0.0
        self._start = 0
        self._fixed = b"" if self._span else self._request(0)
        self._checked = b""
        self.pages = 0
        self.bytes = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def _request(self, start: int) -> bytes:
        return f"GET {self._path.format(start)} HTTP/1.1\r\nHost: bench\r\n{self._credential}\r\n".encode()

    def ask(self) -> None:
        if self._span:
            self._start = self._random.randint(1, self._span)
        self.is_waiting = True
        self._asked_at = perf_counter()
        self.transport.write(self._fixed or self._request(self._start))

    def data_received(self, data: bytes) -> None:
        data = self._data + data if self._data else data
        body = data.find(END) + len(END)
        if body >= len(END):
            at = data.find(LENGTH, 0, body)
            length = int(data[at + len(LENGTH) : data.find(b"\r", at)])
            if len(data) >= body + length:
                self._data = b""
                self._answered(data, body)
                return
        self._data = data

    def _answered(self, data: bytes, body: int) -> None:
        now = perf_counter()
        self.pages += 1
        self.is_waiting = False
        if self.tally.is_counting:
            self.tally.latencies.append(now - self._asked_at)
            self.bytes += len(data)
        if not data.startswith(OK):
            self.tally.fault(data[:300].decode(errors="replace"))
            return
        self._check(data, body)
        if self.tally.is_going:
            self.ask()

    def _check(self, data: bytes, body: int) -> None:
        """The same page again has the same bytes; another one has as many messages, from where it was asked for."""
        if self._fixed and self._checked:
            if not data.endswith(self._checked):
                self.tally.fault("the same page came with other bytes")
            return
        found = data.count(self._marked, body) if self._marked else 1
        if found != self._most or (self._span and b'"seq":%d,' % self._start not in data):
            self.tally.fault(f"{found} in a page from {self._start}")
        self._checked = data[body:]

    def connection_lost(self, error: Exception | None) -> None:
        if self.tally.is_going:
            self.tally.fault(f"a connection was lost: {error}")


async def measure(spec: dict[str, Any]) -> dict[str, Any]:
    tally = Tally()
    readers = [Reader(tally, spec, token, number) for number, token in enumerate(spec["tokens"])]
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(SETTLING):
        for reader in readers:
            await loop.create_connection(lambda reader=reader: reader, spec["host"], spec["port"])  # type: ignore[misc]
    for reader in readers:
        reader.ask()
    used = await tally.count(spec)
    await tally.finish(readers, "a page did not come")
    for reader in readers:
        reader.transport.abort()
    pages = len(tally.latencies)
    return {
        **figures_of(tally, used),
        "pages": pages,
        "pages_per_s": pages / used.seconds,
        "bytes_a_page": sum(reader.bytes for reader in readers) / max(pages, 1),
        "cpu_ms_a_page": {name: 1e3 * one / max(pages, 1) for name, one in used.families.items()},
    }
