"""Asking again until there is an answer, without all clients coming back at the same moment."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from messenger.client.problems import Unreachable, will_pass
from messenger.errors import MessengerError

T = TypeVar("T")
FIRST, LONGEST = 0.5, 30.0  # seconds
ENOUGH = 7  # doublings


class Backoff:
    """The first try again is at once, the next ones after any time up to 0.5, 1, 2 … 30 s."""

    def __init__(self) -> None:
        self.tries = 0

    def seconds(self, at_least: float | None = None) -> float:
        most = min(LONGEST, FIRST * 2 ** min(self.tries - 1, ENOUGH)) if self.tries else 0.0
        self.tries += 1
        return (at_least or 0.0) + random.uniform(0.0, most)


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Until it is answered or finally refused."""
    backoff = Backoff()
    while True:
        try:
            return await ask()
        except MessengerError as problem:
            if not will_pass(problem):
                raise
            wait = backoff.seconds(problem.retry_after)
        except Unreachable:
            wait = backoff.seconds()
        await asyncio.sleep(wait)
