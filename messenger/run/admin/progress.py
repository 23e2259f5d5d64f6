"""Progress of long work on a terminal: one changing line with an estimate, and nothing elsewhere."""

import sys
import time
from types import TracebackType

EVERY = 0.5  # seconds between two lines
UNITS = ("bytes", "kB", "MB", "GB", "TB")
STEP = 1000


class ProgressLine:
    def __init__(self, total: int, what: str) -> None:
        """`total`, and what is added to it, in bytes."""
        self._total = max(1, total)
        self._what = what
        self._done = 0
        self._first = 0
        self._began = time.monotonic()
        self._said = self._began
        self._is_shown = sys.stderr.isatty()

    def add(self, done: int) -> None:
        self._done = min(self._total, self._done + done)
        now = time.monotonic()
        if not self._is_shown or now - self._said < EVERY:
            return
        self._said = now
        line = estimate(self._done, self._total, self._first, now - self._began)
        print(f"\r{self._what} {line}\033[K", end="", file=sys.stderr, flush=True)

    def begin_at(self, done: int) -> None:
        """An earlier run has done so much; the estimate does not count it."""
        self._done = self._first = done

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._said > self._began:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def estimate(done: int, total: int, first: int, seconds: float) -> str:
    """How much of it is done, and how long the rest may take, if it went from `first` to `done` in so many seconds."""
    left = (total - done) * seconds / (done - first) if done > first else 0
    return f"{percent(done, total):3} %  about {left:.0f} s left"


def percent(done: int, total: int) -> int:
    return 100 if total == 0 else min(100, 100 * done // total)


def size(count: float) -> str:
    for unit in UNITS:
        if count < STEP or unit == UNITS[-1]:
            break
        count /= STEP
    return f"{count:.0f} {unit}" if unit == UNITS[0] else f"{count:.1f} {unit}"
