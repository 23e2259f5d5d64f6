"""Pulse: one question at a time to a dependency that may have stopped answering, for all probes together.

Probes are open to everybody and frequent: they must not pile up on a dependency that hangs, nor load one that works.
Per process.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from messenger.errors import MessengerError

log = logging.getLogger(__name__)

SOON = 0.5  # seconds until something that was away is asked again


@dataclass(frozen=True, slots=True)
class Beat:
    """The result of one question."""

    ok: bool
    detail: str


class Pulse:
    def __init__(self, name: str, ask: Callable[[], Awaitable[Beat]], *, patience: float, fresh: float) -> None:
        """`patience`: seconds a caller waits for an answer; `fresh`: seconds a good one serves those who come later."""
        self.name = name
        self._ask = ask
        self._patience = patience
        self._fresh = fresh
        self._question: asyncio.Task[Beat] | None = None
        self._asked_at = 0.0

    async def take(self) -> Beat:
        now = asyncio.get_running_loop().time()
        if self._question is None or self._is_stale(self._question, now - self._asked_at):
            self._question, self._asked_at = asyncio.create_task(self._ask_once()), now
        # A caller that gives up leaves the question running: it belongs to all, and cancelling it may hang as well.
        done, _ = await asyncio.wait({self._question}, timeout=self._patience)
        return self._question.result() if done else Beat(False, f"no answer within {self._patience:g} s")

    async def stop(self) -> None:
        if self._question is not None:
            self._question.cancel()
            await asyncio.wait({self._question})

    def _is_stale(self, question: asyncio.Task[Beat], age: float) -> bool:
        return question.done() and age >= (self._fresh if question.result().ok else min(self._fresh, SOON))

    async def _ask_once(self) -> Beat:
        try:
            return await self._ask()
        except MessengerError as error:
            return Beat(False, error.detail)
        except Exception:
            log.exception("probe failed dependency=%s", self.name)
            return Beat(False, "the probe itself failed")
