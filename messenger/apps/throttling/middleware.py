"""Every request spends a token of its person or address; the answer says how many are left."""

from collections.abc import Awaitable

from aiohttp import web
from aiohttp.typedefs import Handler

from messenger.apps.throttling.limits import Limit, Limits, Who
from messenger.errors import AuthFailed, MessengerError, SessionExpired, SessionRevoked, TokenInvalid, TooManyRequests
from messenger.web import reply
from messenger.web.access import LIMITS, action_of
from messenger.web.app_keys import CONFIG, IDENTITY, root_app
from messenger.web.clients import address_of, network_of
from messenger.web.explaining import explained

COUNTS: web.AppKey[Limits] = web.AppKey("counts", Limits)  # LIMITS, with all that is known here about them
COUNTED: web.RequestKey[tuple[Limit, Who]] = web.RequestKey("counted", tuple)
STRANGERS = (AuthFailed, SessionExpired, SessionRevoked, TokenInvalid)


@web.middleware
def limited(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
    """Behind auth. No coroutine: a request that need not wait leaves nothing behind on the stack of a socket."""
    action = action_of(request.match_info.handler)
    if not action:
        return handler(request)
    limits = root_app(request)[COUNTS]
    limit = limits.send if action == "send" else limits.default
    identity = request.get(IDENTITY)
    who: Who = identity.user_id if identity is not None else network_of(address_of(request))
    request[COUNTED] = limit, who
    if limit is limits.send and identity is not None:
        return _send(request, handler, limits, who)
    if limit.passes(who):
        return handler(request)
    return _in_turn(request, handler, limit, who)


async def _in_turn(request: web.Request, handler: Handler, limit: Limit, who: Who) -> web.StreamResponse:
    await limit.enter(who)
    return await handler(request)


async def _send(request: web.Request, handler: Handler, limits: Limits, who: Who) -> web.StreamResponse:
    """Charged where all messages meet (messages/sending.py); a send that fails before costs what any request costs."""
    limits.send.look(who)
    try:
        return await handler(request)
    except TooManyRequests:
        raise
    except MessengerError:
        await limits.default.enter(who)
        raise


@web.middleware
async def limited_strangers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Around auth: invalid credentials cost their address a token. People who are signed in there are not affected."""
    try:
        return await handler(request)
    except STRANGERS:
        if COUNTED not in request:
            limit, who = root_app(request)[COUNTS].default, network_of(address_of(request))
            request[COUNTED] = limit, who
            await limit.enter(who)
        raise


async def add_quota_headers(request: web.Request, answer: web.StreamResponse) -> None:
    counted = request.get(COUNTED)
    if counted is not None and reply.RATE_LIMIT not in answer.headers:
        limit, who = counted
        answer.headers.update(reply.quota_headers(limit.quota, *limit.state(who)))


def setup(root: web.Application) -> None:
    root[LIMITS] = root[COUNTS] = Limits.of(root[CONFIG].throttling)
    root.middlewares.insert(root.middlewares.index(explained) + 1, limited_strangers)
    root.on_response_prepare.append(add_quota_headers)
