"""Wires: doorbells between processes. They carry how far the log reaches and passing notes, never the truth."""

import logging
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)


class Wire(Protocol):
    """Lossy by contract: what it does not bring, the tail finds by itself."""

    rung: int  # doorbells that left here, or would have if another process listened
    heard: int  # doorbells of others; what they rang beyond that was lost on the way

    async def start(self, ring: Callable[[int], None], note: Callable[[bytes], None]) -> None: ...
    def ring(self, position: int) -> None: ...
    def say(self, note: bytes) -> None: ...
    async def stop(self) -> None: ...


def make(kind: str, dsn: str, redis_url: str) -> Wire:
    """The wire that settings name; its driver is imported only then."""
    if kind == "auto":
        kind = "redis" if redis_url else "postgres"
    if kind == "redis":
        from messenger.log.wires.redis import RedisWire  # noqa: PLC0415

        return RedisWire(redis_url)
    if kind == "postgres":
        from messenger.log.wires.postgres import PostgresWire  # noqa: PLC0415

        return PostgresWire(dsn)
    from messenger.log.wires.none import NoWire  # noqa: PLC0415

    return NoWire()
