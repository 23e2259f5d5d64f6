"""Frames that were refused as too many. Who goes on all the same, and does not listen, is to be closed."""

import time
from collections import deque

MOST, WITHIN = 50, 10.0  # so many, in so many seconds


class Refusals:
    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=MOST)

    def note(self) -> bool:
        """One more; was it one too many?"""
        now = time.monotonic()
        self._at.append(now)
        return len(self._at) == MOST and now - self._at[0] < WITHIN
