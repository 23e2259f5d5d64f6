"""A frame there and back, with nothing between: the round trip of a bare aiohttp socket."""

import asyncio
from time import perf_counter
from typing import Any

from proof.bench.load.sockets import Socket, open_all
from proof.bench.load.tally import Tally, figures_of
from proof.lab import frames

WORDS = frames.masked(b"e" * 200)


class Caller(Socket):
    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self.tally = tally
        self.is_waiting = False
        self._sent_at = 0.0

    def send(self) -> None:
        self.is_waiting = True
        self._sent_at = perf_counter()
        self.transport.write(WORDS)

    def hear(self, data: bytes, start: int, end: int) -> None:
        if self.tally.is_counting:
            self.tally.latencies.append(perf_counter() - self._sent_at)
        self.is_waiting = False
        if self.tally.is_going:
            self.send()


async def measure(spec: dict[str, Any]) -> dict[str, Any]:
    tally = Tally()
    tokens = [""] * spec["callers"]
    callers = await open_all(spec, tokens, lambda number: Caller(tally), path="/echo", last_greeting=b"")
    await asyncio.sleep(spec["settle"])
    for caller in callers:
        caller.send()
    used = await tally.count(spec)
    await tally.finish(callers, "an echo did not come")
    for caller in callers:
        caller.transport.abort()
    return {**figures_of(tally, used), "echoes_per_s": len(tally.latencies) / used.seconds}
