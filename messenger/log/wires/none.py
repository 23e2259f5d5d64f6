"""One process alone: nobody to ring."""

from collections.abc import Callable


class NoWire:
    def __init__(self) -> None:
        self.rung = 0
        self.heard = 0

    async def start(self, ring: Callable[[int], None], note: Callable[[bytes], None]) -> None:
        return None

    def ring(self, position: int) -> None:
        self.rung += 1

    def say(self, note: bytes) -> None:
        return None

    async def stop(self) -> None:
        return None
