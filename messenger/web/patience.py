"""How long a handler may take: one timer for all of them, set to whoever began first.

A timer for each request is made and cancelled a thousand times for one that ever rings. All have the same time here,
so they run out in the order in which they began.
"""

import asyncio
from types import TracebackType


class OutOfTimeError(TimeoutError):
    """The handler was given up; its own timeouts are not this."""


class Patience:
    def __init__(self) -> None:
        self.turns: dict[Turn, None] = {}  # in the order of their beginning
        self._timer: asyncio.TimerHandle | None = None

    def set_timer(self, loop: asyncio.AbstractEventLoop, first: "Turn") -> None:
        if self._timer is None:
            self._timer = loop.call_at(first.ends_at, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self.turns:
            turn = next(iter(self.turns))
            if turn.ends_at > now:
                return self.set_timer(loop, turn)
            del self.turns[turn]
            turn.give_up()
        return None


class Turn:
    """`with Turn(patience, seconds):` around what the current task does; the seconds are the same for all."""

    __slots__ = ("ends_at", "_cancelling", "_is_over", "_patience", "_seconds", "_task")

    def __init__(self, patience: Patience, seconds: float) -> None:
        self._patience = patience
        self._seconds = seconds
        self._is_over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        self._task = task
        self._cancelling = task.cancelling()
        self.ends_at = loop.time() + self._seconds
        turns = self._patience.turns
        if not turns:
            self._patience.set_timer(loop, self)
        turns[self] = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patience.turns.pop(self, None)
        # As asyncio.timeout does it: a cancellation from elsewhere at the same time goes on.
        if self._is_over and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise OutOfTimeError from error

    def give_up(self) -> None:
        self._is_over = True
        self._task.cancel()
