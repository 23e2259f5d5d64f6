"""The result of one check of the doctor."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

PATIENCE = 5.0  # seconds that the doctor waits for an answer


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, what was seen, and a remedy if it is wrong."""

    name: str
    ok: bool
    seen: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{'✔' if self.ok else '✖'} {self.name}: {self.seen}" + (f" → {self.remedy}" if self.remedy else "")


async def reached(name: str, reach: Callable[[], Awaitable[None]], remedy: str) -> Finding:
    began = time.monotonic()
    try:
        await reach()
    except Exception as error:  # drivers and wrong addresses raise many kinds
        return Finding(name, False, f"it does not answer: {type(error).__name__}", remedy)
    return Finding(name, True, f"answered in {1000 * (time.monotonic() - began):.0f} ms")
