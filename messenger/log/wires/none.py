"""One process alone: nobody to ring."""

from collections.abc import Callable


class NoWire:
    async def start(self, ring: Callable[[int], None], note: Callable[[bytes], None]) -> None:
        return None

    def ring(self, position: int) -> None:
        return None

    def say(self, note: bytes) -> None:
        return None

    async def stop(self) -> None:
        return None
