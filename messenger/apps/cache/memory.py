"""A shelf in this process: bounded in bytes, the longest unused goes first."""

from collections import OrderedDict

from aiohttp import web

from messenger.web.shelf import SHELF

MOST_BYTES = 64 << 20


class MemoryShelf:
    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._values: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    async def find(self, name: str) -> bytes | None:
        found = self._values.get(name)
        if found is not None:
            self._values.move_to_end(name)
        return found

    async def keep(self, name: str, value: bytes) -> None:
        self._bytes += len(value) - len(self._values.pop(name, b""))
        self._values[name] = value
        while self._bytes > self._most_bytes:
            _, gone = self._values.popitem(last=False)
            self._bytes -= len(gone)


def setup(root: web.Application) -> None:
    root[SHELF] = MemoryShelf()
