"""What sub-apps tell of their work, for whoever watches the server. A key is absent where its sub-app is."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from messenger.log.appender import Appender

TASK_STATES = ("WAITING", "IN_PROCESS", "SUCCESS", "FAILED")


class Sending(Protocol):
    @property
    def sent(self) -> Mapping[tuple[str, bool], int]:
        """Messages by their entrance, and whether they had been stored before."""

    @property
    def refused(self) -> Mapping[str, int]:
        """Messages by the code of the error."""

    @property
    def appender(self) -> Appender[Any]: ...


@dataclass(frozen=True, slots=True)
class SearchBacklog:
    entries: float  # of the log, that the index has not followed yet
    seconds: float  # since the first of them
    tasks: Mapping[str, float]  # by their state, each of TASK_STATES


SENDING: web.AppKey[Sending] = web.AppKey("sending")
SEARCH_BACKLOG: web.AppKey[Callable[[], Awaitable[SearchBacklog]]] = web.AppKey("search_backlog")  # asks the database
