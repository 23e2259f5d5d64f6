"""Every request gets an id and a line in the log."""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import getrandbits

from aiohttp import web
from aiohttp.typedefs import Handler

from messenger.db.driver import ASKED_BY
from messenger.web import reply
from messenger.web.app_keys import IDENTITY, REQUEST_ID
from messenger.web.clients import address_of

access_log = logging.getLogger("messenger.access")

SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
PATH_SHOWN = 100
CLIENT_GONE = 499

# Called for every answer, with the method and route of its request, its status, and the seconds it took.
ANSWERED: web.AppKey[list[Callable[[str, str | None, int, float], None]]] = web.AppKey("answered")

# Where a connection outlives its request, as a socket does, its line is written at its end: this calls it then.
GOES_ON: web.RequestKey[Callable[[Callable[[], None]], None]] = web.RequestKey("goes_on")


def setup(root: web.Application) -> None:
    root[ANSWERED] = []
    root.middlewares.append(recorded)


@web.middleware
async def recorded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One line per request: never its query string, and its path only when no route matches."""
    root = request.app
    request[REQUEST_ID] = request_id = request_id_of(request)
    before = ASKED_BY.set(request_id)
    began = time.perf_counter()
    status = CLIENT_GONE
    try:
        answer = await handler(request)
        status = answer.status
        return answer
    except web.HTTPException as redirect:
        status = redirect.status
        raise
    finally:
        ASKED_BY.reset(before)
        identity = request.get(IDENTITY)
        shown = Shown(
            request.method,
            route_of(request),
            request.path[:PATH_SHOWN],
            identity.user_id if identity is not None else None,
            address_of(request),
        )
        count(root, shown, status, time.perf_counter() - began)
        write = partial(write_line, shown, request_id, status, began)
        request[GOES_ON](write) if GOES_ON in request else write()


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a request."""

    method: str
    route: str | None  # None: no route matches
    path: str
    user_id: int | None
    address: str


def record(root: web.Application, shown: Shown, request_id: str, status: int, began: float) -> None:
    count(root, shown, status, time.perf_counter() - began)
    write_line(shown, request_id, status, began)


def count(root: web.Application, shown: Shown, status: int, seconds: float) -> None:
    for tell in root[ANSWERED]:
        tell(shown.method, shown.route, status, seconds)


def write_line(shown: Shown, request_id: str, status: int, began: float) -> None:
    if access_log.isEnabledFor(logging.INFO):
        keys = {
            "method": shown.method,
            "route": shown.route or shown.path,
            "status": status,
            "duration_ms": round((time.perf_counter() - began) * 1000, 1),
            "user_id": shown.user_id,
            "request_id": request_id,
            "address": shown.address,
        }
        access_log.info("request", extra={"keys": keys})


def request_id_of(request: web.BaseRequest) -> str:
    """The one it brings, if it is sane."""
    offered = request.headers.get(reply.REQUEST_ID)
    if offered and SANE_ID.fullmatch(offered):
        return offered
    return f"{getrandbits(128):032x}"  # noqa: S311  (nobody gains by guessing one)


def route_of(request: web.Request) -> str | None:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else None


def template(request: web.Request) -> str:
    return route_of(request) or request.path[:PATH_SHOWN]
