"""Waiting for something outside, and work that ends with its block."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 30.0
STEP = 0.01


async def happens(is_so: Callable[[], Awaitable[bool]], what: str, seconds: float = PATIENCE) -> float:
    """Wait for something outside; the seconds it took."""
    began = time.monotonic()
    while not await is_so():
        assert time.monotonic() - began < seconds, f"{what} did not happen within {seconds} s"
        await asyncio.sleep(STEP)
    return time.monotonic() - began


async def at_most(seconds: float, work: Awaitable[object]) -> None:
    """Until it is done, and no longer than that."""
    with suppress(TimeoutError):
        await asyncio.wait_for(work, seconds)


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, T]) -> AsyncIterator[list["asyncio.Task[T]"]]:
    """All at the same time, and none of it longer than the block."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
