"""From a request to an open socket that lives by itself, within its person's quota."""

from collections.abc import Callable

from aiohttp import HttpVersion11, web

from messenger.errors import BadParameters, Unavailable
from messenger.web.app_keys import DRAINING
from messenger.web.quota import ConnectionQuota
from messenger.web.recording import GOES_ON
from messenger.web.server import Connection
from messenger.web.sockets import takeover
from messenger.web.sockets.link import Link, Owner
from messenger.web.sockets.links import Links


async def serve(
    request: web.Request, links: Links, user_id: int, make_owner: Callable[[Link], Owner], *protocols: str
) -> web.StreamResponse:
    """Returns when the client is greeted. What can be refused is refused before the upgrade."""
    handshake = takeover.Handshake(protocols)
    draining = request.app[DRAINING]
    if request.version < HttpVersion11 or not handshake.can_prepare(request):
        raise BadParameters("This path speaks WebSocket only, over HTTP/1.1.")
    if draining.is_set():
        raise Unavailable("The server stops.", retry_after=1)
    quota = ConnectionQuota(request.app, user_id)
    quota.__enter__()
    try:
        await handshake.prepare(request)
        link = make_link(request, links, quota)
        link.owner = make_owner(link)
    except BaseException:
        quota.__exit__()
        raise
    links.add(link)
    request[GOES_ON] = link.at_end
    handshake.hand_over(link)
    try:
        if draining.is_set():
            link.owner.restart()
        await link.owner.open()
        link.go_on()
        if not takeover.LETS_GO:
            await link.gone()
    except BaseException:
        link.abort()
        raise
    finally:
        takeover.let_go(request)
    return handshake


def make_link(request: web.Request, links: Links, quota: ConnectionQuota) -> Link:
    connection, transport = request.protocol, request.transport
    if transport is None:
        raise ConnectionResetError("The peer left.")
    assert isinstance(connection, Connection)
    stall_watch, connection.stall_watch = connection.stall_watch, None
    return Link(transport, links, quota, stall_watch)
