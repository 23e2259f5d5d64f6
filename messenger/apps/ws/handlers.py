"""The upgrade: who may open a socket, and closing all of them gently when the server stops."""

import random
from collections.abc import AsyncIterator

from aiohttp import web

from messenger.apps.ws import closing
from messenger.apps.ws.connection import Command, Connection, Pace, Switchboard
from messenger.apps.ws.outbox import Post
from messenger.apps.ws.upgrade import Socket
from messenger.errors import BadParameters, Unavailable
from messenger.web import paging, seats
from messenger.web.access import me, streaming
from messenger.web.keys import ARRANGED, DRAINING, LIMITS, LOG

SPREAD_MS = 3000  # a thousand clients must not come back in one instant

CONNECTIONS: web.AppKey[set[Connection]] = web.AppKey("connections")
SWITCHBOARD: web.AppKey[Switchboard] = web.AppKey("switchboard", Switchboard)
PACE: web.AppKey[Pace] = web.AppKey("ws_pace", Pace)


@streaming
async def socket(request: web.Request) -> web.StreamResponse:
    root, identity = request.app, me(request)
    given = paging.query(request, ("cursor",))
    response = Socket()
    if not response.can_prepare(request):
        raise BadParameters("This path speaks WebSocket only.")
    if root[DRAINING].is_set():
        raise Unavailable("The server stops.", retry_after=1)
    with seats.seat(root, identity.user_id):
        await response.prepare(request)
        response.headers.clear()  # they have been sent, and a socket lives long
        connection = Connection(request, response, identity, root[SWITCHBOARD])
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
    root[SWITCHBOARD] = Switchboard(root[LOG], commands, root[PACE], Post(), limit)
    yield


async def drain(root: web.Application) -> None:
    connections = root[CONNECTIONS]
    for connection in tuple(connections):
        connection.close(closing.DRAINING, str(random.randint(0, SPREAD_MS)))  # noqa: S311


def setup(root: web.Application) -> None:
    seats.setup(root)
    root[PACE] = Pace()
    root.on_shutdown.append(drain)


routes = [web.get("/v1/ws", socket, allow_head=False)]
