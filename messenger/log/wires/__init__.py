"""Wires: doorbells between processes. They carry the head's position and notes (typing, presence), never entries."""

from collections.abc import Callable
from typing import Protocol


class Wire(Protocol):
    """May lose anything: the tail finds by itself what a wire does not bring."""

    rung: int  # doorbells sent; where nobody else can listen, the times that the log grew
    heard: int  # doorbells of other processes; the rest of those were lost

    async def start(self, ring: Callable[[int], None], note: Callable[[bytes], None]) -> None: ...

    def ring(self, position: int, told: int = 0) -> None:
        """`told`: how many of the other processes know it already. If those are all, it need not ring."""

    def say(self, note: bytes) -> None: ...
    async def stop(self) -> None: ...


class NoWire:
    """One process alone: nobody to ring."""

    def __init__(self) -> None:
        self.rung = 0
        self.heard = 0

    async def start(self, ring: Callable[[int], None], note: Callable[[bytes], None]) -> None: ...

    def ring(self, position: int, told: int = 0) -> None:
        self.rung += 1

    def say(self, note: bytes) -> None: ...

    async def stop(self) -> None: ...


def make(kind: str, dsn: str, redis_url: str) -> Wire:
    """The wire that the settings name; its driver is imported only then."""
    if kind == "auto":
        kind = "redis" if redis_url else "postgres"
    if kind == "redis":
        from messenger.log.wires.redis import RedisWire  # noqa: PLC0415

        return RedisWire(redis_url)
    if kind == "postgres":
        from messenger.log.wires.postgres import PostgresWire  # noqa: PLC0415

        return PostgresWire(dsn)
    return NoWire()
