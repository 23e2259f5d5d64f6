"""Who works on search tasks: the one port between asking and doing."""

from typing import Protocol


class Engine(Protocol):
    def start(self) -> None: ...

    async def submit(self, task_id: int) -> None:
        """A task is stored and waits; telling so may be lost without losing the task."""

    async def stop(self) -> None:
        """What was begun and not finished is left to others."""
