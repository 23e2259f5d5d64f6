"""Every request spends a token of whoever asks; its answer says how many are left."""

from aiohttp import web
from aiohttp.typedefs import Handler

from messenger.apps.throttling.limits import Limit, Limits, Who
from messenger.errors import AuthFailed, MessengerError, SessionExpired, SessionRevoked, TokenInvalid, TooManyRequests
from messenger.web import reply
from messenger.web.access import action_of
from messenger.web.clients import address_of, network_of
from messenger.web.keys import CONFIG, IDENTITY, LIMITS, root_of
from messenger.web.middlewares import explained

COUNTED: web.RequestKey[tuple[Limit, Who]] = web.RequestKey("counted", tuple)
STRANGERS = (AuthFailed, SessionExpired, SessionRevoked, TokenInvalid)


@web.middleware
async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Behind auth."""
    action = action_of(request.match_info.handler)
    if not action:
        return await handler(request)
    limits = root_of(request)[LIMITS]
    limit = limits.send if action == "send" else limits.default
    identity = request.get(IDENTITY)
    who: Who = identity.user_id if identity is not None else network_of(address_of(request))
    request[COUNTED] = limit, who
    if limit is limits.send and identity is not None:
        return await _send(request, handler, limits, who)
    if not limit.passes(who):
        await limit.enter(who)
    return await handler(request)


async def _send(request: web.Request, handler: Handler, limits: Limits, who: Who) -> web.StreamResponse:
    """Charged where all messages meet (messages/sender.py); what never gets there is a request like all others."""
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
    """Around auth: credentials that open nothing cost their address a token. Its neighbours who are known may go on."""
    try:
        return await handler(request)
    except STRANGERS:
        if COUNTED not in request:
            limit, who = root_of(request)[LIMITS].default, network_of(address_of(request))
            request[COUNTED] = limit, who
            await limit.enter(who)
        raise


async def tell(request: web.Request, answer: web.StreamResponse) -> None:
    counted = request.get(COUNTED)
    if counted is not None and reply.RATE_LIMIT not in answer.headers:
        limit, who = counted
        answer.headers.update(reply.quota_headers(limit.quota, *limit.state(who)))


def setup(root: web.Application) -> None:
    root[LIMITS] = Limits.of(root[CONFIG].throttling)
    root.middlewares.insert(root.middlewares.index(explained) + 1, limited_strangers)
    root.on_response_prepare.append(tell)
