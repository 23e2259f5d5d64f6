"""A frame of a socket that asks for something: what a sub-app's command is given, and the ways to answer it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from messenger.errors import MessengerError
from messenger.identity import Identity
from messenger.log.entries import Listener


@dataclass(slots=True, eq=False)
class Call:
    """A coroutine command returns its result. A plain function answers later by itself: it rides in a batch."""

    app: web.Application
    me: Identity
    frame: dict[str, Any]
    listener: Listener  # the asking socket: it has its answer and need not hear the event
    answer: Callable[[Any, bool], None]  # the result, and whether it is a replay
    refuse: Callable[[MessengerError], None]
