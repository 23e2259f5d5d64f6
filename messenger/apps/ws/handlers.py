"""The upgrade: who may open a socket, and closing all of them gently when the server stops."""

import random
from collections.abc import AsyncIterator

from aiohttp import web

from messenger.apps.ws import closing, protocol
from messenger.apps.ws.connection import Connection, SocketContext
from messenger.apps.ws.dispatcher import Command
from messenger.web import paging, quota
from messenger.web.access import LIMITS, me, streaming
from messenger.web.app_keys import ARRANGED, LOG
from messenger.web.sockets.link import Pace
from messenger.web.sockets.outbox import Post
from messenger.web.sockets.upgrade import upgraded

SPREAD_MS = 3000  # a thousand clients must not come back in one instant

CONNECTIONS: web.AppKey[set[Connection]] = web.AppKey("connections")
CONTEXT: web.AppKey[SocketContext] = web.AppKey("ws_context", SocketContext)
PACE: web.AppKey[Pace] = web.AppKey("ws_pace", Pace)


@streaming
async def socket(request: web.Request) -> web.StreamResponse:
    root, identity = request.app, me(request)
    given = paging.query(request, ("cursor",))
    async with upgraded(request, identity.user_id, protocol.NAME) as response:
        connection = Connection(request, response, identity, root[CONTEXT])
        root[CONNECTIONS].add(connection)
        try:
            await connection.run(given.get("cursor"))
        finally:
            root[CONNECTIONS].discard(connection)
    return response


async def context(root: web.Application) -> AsyncIterator[None]:
    root[CONNECTIONS] = set()
    commands = {verb: Command.of(function) for one in root[ARRANGED] for verb, function in one.app.commands.items()}
    limit = root[LIMITS].default if LIMITS in root else None
    root[CONTEXT] = SocketContext(root[LOG], commands, root[PACE], Post(), limit)
    yield


async def drain(root: web.Application) -> None:
    connections = root[CONNECTIONS]
    for connection in tuple(connections):
        connection.close(closing.DRAINING, str(random.randint(0, SPREAD_MS)))  # noqa: S311


def setup(root: web.Application) -> None:
    quota.setup(root)
    root[PACE] = Pace()
    root.on_shutdown.append(drain)


routes = [web.get("/v1/ws", socket, allow_head=False)]
