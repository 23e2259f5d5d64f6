"""Every request gets an id and a line in the log."""

import logging
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler

from messenger.web import reply
from messenger.web.app_keys import IDENTITY, REQUEST_ID
from messenger.web.clients import address_of

access_log = logging.getLogger("messenger.access")

SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
PATH_SHOWN = 100
CLIENT_GONE = 499

# Called for every answer, with its request, its status, and the seconds it took.
ANSWERED: web.AppKey[list[Callable[[web.Request, int, float], None]]] = web.AppKey("answered")

# Where a connection outlives its request, as a socket does, its line is written at its end: this calls it then.
GOES_ON: web.RequestKey[Callable[[Callable[[], None]], None]] = web.RequestKey("goes_on")


def setup(root: web.Application) -> None:
    root[ANSWERED] = []
    root.middlewares.append(recorded)


@web.middleware
async def recorded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One line per request: never its query string, and its path only when no route matches."""
    root = request.app
    offered = request.headers.get(reply.REQUEST_ID)
    request_id = offered if offered and SANE_ID.fullmatch(offered) else uuid4().hex
    request[REQUEST_ID] = request_id
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
        seconds = time.perf_counter() - began
        for tell in root[ANSWERED]:
            tell(request, status, seconds)
        if access_log.isEnabledFor(logging.INFO):
            identity = request.get(IDENTITY)
            user_id = identity.user_id if identity is not None else None
            where = (request.method, template(request), address_of(request))
            write = partial(write_line, began, status, user_id, request[REQUEST_ID], where)
            request[GOES_ON](write) if GOES_ON in request else write()


def write_line(began: float, status: int, who: int | None, request_id: str, where: Sequence[str]) -> None:
    """`who`: the user's id; `where`: method, route, address."""
    keys = {
        "method": where[0],
        "route": where[1],
        "status": status,
        "duration_ms": round((time.perf_counter() - began) * 1000, 1),
        "user_id": who,
        "request_id": request_id,
        "address": where[2],
    }
    access_log.info("request", extra={"keys": keys})


def template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else request.path[:PATH_SHOWN]
