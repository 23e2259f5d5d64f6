"""A frame of a socket that asks for something: what a sub-app's command is given, and the ways to answer it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from aiohttp import web

from messenger.errors import MessengerError
from messenger.identity import Identity
from messenger.log.entries import Listener
from messenger.web.body import convert

T = TypeVar("T")
Verb = TypeVar("Verb", bound=Callable[..., Any])


class Asker(Protocol):
    """The socket that a frame came from."""

    def answer(self, ref: str | None, result: Any, replayed: bool, message_id: str) -> None: ...
    def refuse(self, ref: str | None, error: MessengerError) -> None: ...


@dataclass(slots=True, eq=False)
class Call:
    """A coroutine command returns its result. A plain function answers later by itself: it rides in a batch."""

    app: web.Application
    me: Identity
    frame: Any  # its fields, or what they were decoded into at once
    listener: Listener  # the asking socket: it has its answer and need not hear the event
    ref: str | None
    asker: Asker

    def read(self, kind: type[T]) -> T:
        return self.frame if isinstance(self.frame, kind) else convert(self.frame, kind)

    def answer(self, result: Any, replayed: bool = False, message_id: str = "") -> None:
        """`message_id`: of a new message, which the socket then need not hear of again."""
        self.asker.answer(self.ref, result, replayed, message_id)

    def refuse(self, error: MessengerError) -> None:
        self.asker.refuse(self.ref, error)


def usually(kind: type[Any]) -> Callable[[Verb], Verb]:
    """The usual frame of a verb, as a struct with the verb as its tag and a `ref`: it is decoded in one step."""

    def mark(verb: Verb) -> Verb:
        verb.usual = kind  # type: ignore[attr-defined]
        return verb

    return mark


def usual_of(verb: Callable[..., Any]) -> type[Any] | None:
    return getattr(verb, "usual", None)
