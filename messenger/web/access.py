"""Marks of routes: each is closed unless marked public, has a deadline unless streaming, and is limited unless free.

The auth sub-app finds out who is asking, the throttling sub-app counts.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from aiohttp import web

from messenger.errors import AuthFailed, Quota, TooManyRequests
from messenger.identity import Identity
from messenger.web.app_keys import IDENTITY

Handler = TypeVar("Handler", bound=Callable[..., Any])


def public(handler: Handler) -> Handler:
    handler.is_public = True  # type: ignore[attr-defined]
    return handler


def streaming(handler: Handler) -> Handler:
    """Answers as long as the client stays: the handler has no deadline."""
    handler.is_stream = True  # type: ignore[attr-defined]
    return handler


def by_token(handler: Handler) -> Handler:
    """A socket of older clients, whose credential may stand in its address as `?token=`."""
    handler.takes_token = True  # type: ignore[attr-defined]
    return handler


def takes_token(request: web.Request) -> bool:
    return getattr(request.match_info.handler, "takes_token", False)


def is_stream(handler: Callable[..., Any]) -> bool:
    return getattr(handler, "is_stream", False)


def charged(action: str) -> Callable[[Handler], Handler]:
    """The limit of a route or a verb; all others count as `default`."""

    def mark(handler: Handler) -> Handler:
        handler.action = action  # type: ignore[attr-defined]
        return handler

    return mark


def free(handler: Handler) -> Handler:
    """Never limited: for monitoring."""
    return charged("")(handler)


def action_of(handler: Callable[..., Any]) -> str:
    return getattr(handler, "action", "default")


def rechecked(handler: Handler) -> Handler:
    """Its transaction checks the session itself, so a session that memory knows need not be confirmed."""
    handler.is_rechecked = True  # type: ignore[attr-defined]
    return handler


def is_rechecked(request: web.Request) -> bool:
    return getattr(request.match_info.handler, "is_rechecked", False)


class Limit(Protocol):
    """How often a person may do something; the throttling sub-app counts."""

    @property
    def quota(self) -> Quota: ...

    def state(self, who: int, /) -> tuple[int, int]:
        """What is left, and the seconds until there is more."""

    def passes(self, who: int, /) -> bool:
        """Counted and allowed at once; else call `ask` or `enter`."""

    def ask(self, who: int, go: Callable[[], None], refuse: Callable[[TooManyRequests], None], /) -> None:
        """Calls one of the two, now or later."""

    async def enter(self, who: int, /) -> None:
        """Returns when it may be done. Raises TooManyRequests."""


class Limits(Protocol):
    @property
    def send(self) -> Limit: ...
    @property
    def default(self) -> Limit: ...
    @property
    def refused(self) -> int: ...


LIMITS: web.AppKey[Limits] = web.AppKey("limits")  # absent where nothing is limited


def is_public(request: web.Request) -> bool:
    """A path with a public handler is public whatever the method, so a wrong method is 405 and not 401."""
    match = request.match_info
    if getattr(match.handler, "is_public", False):
        return True
    return match.http_exception is not None and request.path.rstrip("/") in request.app[PUBLIC_PATHS]


PUBLIC_PATHS: web.AppKey[frozenset[str]] = web.AppKey("public_paths")


def find_public_paths(app: web.Application) -> frozenset[str]:
    return frozenset(
        route.resource.canonical.rstrip("/")
        for route in app.router.routes()
        if route.resource is not None and getattr(route.handler, "is_public", False)
    )


def me(request: web.Request) -> Identity:
    """The signed-in person. Under AUTH_DISABLED there is none."""
    identity: Identity | None = request.get(IDENTITY)
    if identity is None:
        raise AuthFailed
    return identity
