"""The engines that do search tasks: the one port between the request and the work."""

from typing import Protocol

from messenger.apps.search.index import Index
from messenger.apps.search.results import Results
from messenger.db.database import Database
from messenger.settings import Config


class Engine(Protocol):
    def start(self) -> None: ...

    async def submit(self, task_id: int) -> None:
        """A task is stored and waits; telling so may be lost without losing the task."""

    async def stop(self) -> None:
        """What was begun and not finished is left to others."""


def make(config: Config, db: Database, results: Results, index: Index) -> Engine:
    """RabbitMQ when the settings name one; its driver is imported only then."""
    if config.rmq_url:
        from messenger.apps.search.engines.rabbit import RabbitEngine  # noqa: PLC0415

        return RabbitEngine(config.rmq_url.each, db, results, config.search_delay)
    from messenger.apps.search.engines.local import LocalEngine  # noqa: PLC0415

    return LocalEngine(db, results, index, config.search_delay)
