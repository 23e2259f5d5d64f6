"""The upgrade: who may open a socket, and closing all of them gently when the server stops."""

import random
from collections.abc import AsyncIterator
from functools import partial

from aiohttp import web

from messenger.apps.ws import closing, protocol
from messenger.apps.ws.connection import SocketConnection, SocketContext
from messenger.apps.ws.dispatcher import Commands
from messenger.web import paging, quota
from messenger.web.access import LIMITS, me, streaming
from messenger.web.app_keys import ARRANGED, LOG
from messenger.web.sockets.links import Pace, holding
from messenger.web.sockets.upgrade import serve

SPREAD_MS = 3000  # a thousand clients must not come back in one instant

CONTEXT: web.AppKey[SocketContext] = web.AppKey("ws_context", SocketContext)
PACE: web.AppKey[Pace] = web.AppKey("ws_pace", Pace)


@streaming
async def socket(request: web.Request) -> web.StreamResponse:
    context, identity = request.app[CONTEXT], me(request)
    cursor = paging.query(request, ("cursor",)).get("cursor") or ""
    make = partial(SocketConnection, context=context, request=request, me=identity, cursor=cursor)
    return await serve(request, context.links, identity.user_id, make, protocol.NAME)


async def context(root: web.Application) -> AsyncIterator[None]:
    functions = {verb: function for one in root[ARRANGED] for verb, function in one.app.commands.items()}
    limit = root[LIMITS].default if LIMITS in root else None
    async with holding(root, root[PACE]) as links:
        root[CONTEXT] = SocketContext(root, root[LOG], Commands(functions, limit, root[PACE].command), links)
        yield


async def drain(root: web.Application) -> None:
    for link in root[CONTEXT].links:
        link.close(closing.DRAINING, str(random.randint(0, SPREAD_MS)))  # noqa: S311


def setup(root: web.Application) -> None:
    quota.setup(root)
    root[PACE] = Pace()
    root.on_shutdown.append(drain)


routes = [web.get("/v1/ws", socket, allow_head=False)]
