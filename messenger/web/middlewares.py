"""The outermost layers: every request gets an id, a line in the log and safe headers; every error becomes an answer.

Headers are set when an answer is prepared, so streams, sockets and files carry them as well.
"""

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler

from messenger.errors import (
    AuthFailed,
    BadParameters,
    Forbidden,
    InternalError,
    MessengerError,
    MethodNotAllowed,
    NotFound,
    TimedOut,
    TooLarge,
    TooManyRequests,
    Unavailable,
    UnsupportedEncoding,
    UriTooLong,
)
from messenger.settings import SettingError
from messenger.web import reply
from messenger.web.access import is_stream
from messenger.web.body import BODY_SECONDS
from messenger.web.clients import PROXIES, address_of, is_secure, proxies
from messenger.web.keys import CONFIG, DRAINING, IDENTITY, REQUEST_ID, root_of

log = logging.getLogger(__name__)
access_log = logging.getLogger("messenger.access")

HANDLER_SECONDS = 15.0
PATH_SHOWN = 100
SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
ID_LENGTH = 32
IDS_AT_ONCE = 256
HSTS = "max-age=31536000"
ERROR = 400
CLIENT_GONE = 499
PREFLIGHT_SECONDS = "600"
READABLE_ELSEWHERE = (
    "ETag, Idempotency-Replayed, RateLimit, RateLimit-Policy, Retry-After, "
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-ID"
)

# Told of every answer: its request, its status, and the seconds it took.
ANSWERED: web.AppKey[list[Callable[[web.Request, int, float], None]]] = web.AppKey("answered")
NEW_ID: web.AppKey[Callable[[], str]] = web.AppKey("new_id")

# What aiohttp itself raises, in our words.
MEANINGS: dict[int, type[MessengerError]] = {
    error.status: error
    for error in (
        AuthFailed,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        TimedOut,
        TooLarge,
        UriTooLong,
        UnsupportedEncoding,
        TooManyRequests,
        InternalError,
        Unavailable,
    )
}


def install(root: web.Application) -> None:
    """Before any sub-app's middlewares: these two see everything."""
    server = root[CONFIG].server
    try:
        root[PROXIES] = proxies(server.trusted_proxies)
    except ValueError as error:
        raise SettingError(f"TRUSTED_PROXIES: {error}; addresses, networks or unix are expected.") from None
    root[DRAINING] = asyncio.Event()
    root[ANSWERED] = []
    root[NEW_ID] = new_ids().__next__
    root.middlewares.append(recorded)
    root.middlewares.append(explained)
    if server.cors_origins:
        root.middlewares.append(preflight)
    root.on_response_prepare.append(partial(dress, root))


def new_ids() -> Iterator[str]:
    """Not to be guessed from one another; many from one question to the kernel, which takes longer than all else."""
    while True:
        digits = os.urandom(ID_LENGTH // 2 * IDS_AT_ONCE).hex()
        for start in range(0, len(digits), ID_LENGTH):
            yield digits[start : start + ID_LENGTH]


@web.middleware
async def recorded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One line per request: never its query string, and its path only where no route says what it is."""
    root = request.app
    offered = request.headers.get(reply.REQUEST_ID)
    request_id = offered if offered and SANE_ID.fullmatch(offered) else root[NEW_ID]()
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
            keys = {
                "method": request.method,
                "route": template(request),
                "status": status,
                "duration_ms": round(seconds * 1000, 1),
                "user_id": identity.user_id if identity is not None else None,
                "request_id": request_id,
                "address": address_of(request),
            }
            # By hand: to search the stack for this very line would cost as much as writing it down.
            record = access_log.makeRecord(
                access_log.name, logging.INFO, __file__, 0, "request", (), None, extra={"keys": keys}
            )
            access_log.handle(record)


@web.middleware
async def explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The translator of HTTP: whatever is raised leaves as a problem, and nothing internal with it."""
    try:
        if is_stream(request.match_info.handler):
            return await handler(request)
        return await _in_time(request, handler)
    except MessengerError as error:
        return _refuse(request, error)
    except web.HTTPException as error:
        if error.status < ERROR:
            raise
        return _refuse(request, _translate(error), error)
    except web.RequestPayloadError:
        return _refuse(request, BadParameters("The request body is not well-formed HTTP."))
    except Exception as error:
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            raise  # the peer left, nobody waits for an answer
        log.exception("failed route=%s request_id=%s", template(request), request[REQUEST_ID])
        return _refuse(request, InternalError())


@web.middleware
async def preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A browser asks before it calls from another origin, without credentials; the answer needs none."""
    asked = request.headers.get("Access-Control-Request-Method")
    if request.method != "OPTIONS" or asked is None or not _allowed_origin(request):
        return await handler(request)
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers", ""),
            "Access-Control-Max-Age": PREFLIGHT_SECONDS,
            "Vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
        },
    )


async def dress(root: web.Application, request: web.Request, answer: web.StreamResponse) -> None:
    headers = answer.headers
    headers[reply.REQUEST_ID] = request.get(REQUEST_ID) or root[NEW_ID]()
    headers.merge(reply.SAFETY)  # pages bring a policy of their own
    headers[reply.SERVER] = reply.SAFETY[reply.SERVER]  # aiohttp has written its name and version there
    if root[DRAINING].is_set():
        answer.force_close()
        headers["Connection"] = "close"
    if is_secure(request):
        headers.setdefault("Strict-Transport-Security", HSTS)
    if root[CONFIG].server.cors_origins:
        _open_to_origins(request, answer)


def template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else request.path[:PATH_SHOWN]


async def _in_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The handler's time starts when the body is here; for the body there is a deadline of its own."""
    is_read = request.content.is_eof()
    try:
        async with asyncio.timeout(HANDLER_SECONDS if is_read else HANDLER_SECONDS + BODY_SECONDS) as deadline:
            if not is_read:
                request.content.on_eof(lambda: _restart(deadline))
            return await handler(request)
    except TimeoutError:
        if not deadline.expired():  # a time limit of the handler's own
            raise
        log.warning("took too long route=%s request_id=%s", template(request), request[REQUEST_ID])
        raise Unavailable("The request took too long to answer.", retry_after=1) from None


def _restart(deadline: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # answered before its body was here
        deadline.reschedule(asyncio.get_running_loop().time() + HANDLER_SECONDS)


def _refuse(
    request: web.Request, error: MessengerError, original: web.HTTPException | None = None
) -> web.StreamResponse:
    if request.writer.output_size > 0:
        raise ConnectionError("An answer has begun, there cannot be another one.")
    answer = reply.problem(error, request[REQUEST_ID])
    if error.status == AuthFailed.status:
        auth = root_of(request)[CONFIG].auth
        answer.headers.add("WWW-Authenticate", f'{auth.token_type} realm="messenger"')
        answer.headers.add("WWW-Authenticate", 'Bearer realm="messenger"')
    if isinstance(original, web.HTTPMethodNotAllowed):
        answer.headers["Allow"] = ", ".join(sorted(original.allowed_methods))
    return answer


def _translate(error: web.HTTPException) -> MessengerError:
    if error.status in MEANINGS:
        return MEANINGS[error.status]()
    return BadParameters() if error.status < InternalError.status else InternalError()


def _allowed_origin(request: web.Request) -> str | None:
    """What Access-Control-Allow-Origin says to this request."""
    allowed = root_of(request)[CONFIG].server.cors_origins
    origin = request.headers.get("Origin")
    if origin is not None and origin in allowed:
        return origin
    return "*" if "*" in allowed else None


def _open_to_origins(request: web.Request, answer: web.StreamResponse) -> None:
    answer.headers["Vary"] = ", ".join(filter(None, (answer.headers.get("Vary"), "Origin")))
    origin = _allowed_origin(request)
    if origin is None or "Origin" not in request.headers:
        return
    answer.headers["Access-Control-Allow-Origin"] = origin
    answer.headers["Access-Control-Expose-Headers"] = READABLE_ELSEWHERE
    if origin != "*":  # everybody is nobody in particular: no cookies for all
        answer.headers["Access-Control-Allow-Credentials"] = "true"
