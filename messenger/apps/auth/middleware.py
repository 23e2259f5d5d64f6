"""Identifies the person before every handler that is not public. All paths under /v1 are closed, known or not."""

import time

from aiohttp import web
from aiohttp.typedefs import Handler

from messenger.apps.auth import carriers, sessions
from messenger.apps.auth.carriers import Carrier
from messenger.apps.auth.context import AUTH
from messenger.apps.auth.cookies import SessionCookie
from messenger.apps.auth.memory import SessionMemory
from messenger.errors import AuthFailed, OriginNotAllowed
from messenger.web import origins, reply
from messenger.web.access import is_public, is_rechecked
from messenger.web.app_keys import ARRIVED_AT, BELIEVED_UNTIL, FOLLOWED_TO, IDENTITY, LOG, root_app

MEMORY: web.AppKey[SessionMemory] = web.AppKey("session_memory", SessionMemory)
COOKIE: web.AppKey[SessionCookie] = web.AppKey("session_cookie", SessionCookie)
CARRIER: web.RequestKey[Carrier] = web.RequestKey("carrier", Carrier)
CLOSED: web.RequestKey[bool] = web.RequestKey("closed", bool)
API = "/v1"


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    request.setdefault(ARRIVED_AT, time.monotonic())  # it may have waited at the read barrier already
    request[FOLLOWED_TO] = request.app[LOG].followed_to
    if not is_public(request) and (request.match_info.http_exception is None or _is_api(request.path)):
        request[CLOSED] = True
        await _identify(request)
    return await handler(request)


async def finish_answer(request: web.Request, answer: web.StreamResponse) -> None:
    """Answers of closed routes are private; a cookie that is not valid is cleared."""
    if request.get(CLOSED):
        for name, value in reply.PRIVATE.items():
            answer.headers.setdefault(name, value)
    if answer.status == AuthFailed.status and request.get(CARRIER) is Carrier.COOKIE:
        root_app(request)[COOKIE].clear(answer)


async def _identify(request: web.Request) -> None:
    root = root_app(request)
    auth, cookie = root[AUTH], root[COOKIE]
    carrier = carriers.find_carrier(request, auth.rules, cookie)
    if carrier is None:
        if auth.rules.disabled:
            return
        raise AuthFailed
    request[CARRIER] = carrier
    if carrier is Carrier.COOKIE:
        _refuse_borrowed_cookie(request)
    credential = await carriers.read(carrier, request, auth.rules, cookie)
    memory = None if carriers.is_socket(request) else root[MEMORY]
    found = await sessions.identify(auth, credential, memory, request[ARRIVED_AT], rechecked=is_rechecked(request))
    request[IDENTITY] = found.identity
    if carrier is Carrier.HEADER:
        request[BELIEVED_UNTIL] = found.until


def _refuse_borrowed_cookie(request: web.Request) -> None:
    if carriers.is_socket(request):
        # Browsers open sockets to any host with its cookies, without asking.
        if not origins.is_own_page(request):
            raise OriginNotAllowed
    elif request.method not in origins.SAFE_METHODS:
        origins.refuse_foreign_page(request)


def _is_api(path: str) -> bool:
    return path == API or path.startswith(f"{API}/")
