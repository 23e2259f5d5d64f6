"""The outermost layers of every request, in their order, and the headers of every answer.

Headers are set when an answer is prepared, so streams, sockets and files carry them as well.
"""

import asyncio
from functools import partial
from uuid import uuid4

from aiohttp import web

from messenger.settings import SettingError
from messenger.web import recording, reply
from messenger.web.app_keys import CONFIG, DRAINING, REQUEST_ID
from messenger.web.clients import PROXIES, is_secure, proxies
from messenger.web.cors import open_to_origins, preflight
from messenger.web.explaining import explained

HSTS = "max-age=31536000"


def install(root: web.Application) -> None:
    """Before any sub-app's middlewares: these see everything."""
    server = root[CONFIG].server
    try:
        root[PROXIES] = proxies(server.trusted_proxies)
    except ValueError as error:
        raise SettingError(f"TRUSTED_PROXIES: {error}; addresses, networks or unix are expected.") from None
    root[DRAINING] = asyncio.Event()
    recording.setup(root)
    root.middlewares.append(explained)
    if server.cors_origins:
        root.middlewares.append(preflight)
    root.on_response_prepare.append(partial(dress, root))


async def dress(root: web.Application, request: web.Request, answer: web.StreamResponse) -> None:
    headers = answer.headers
    headers[reply.REQUEST_ID] = request.get(REQUEST_ID) or uuid4().hex
    headers.merge(reply.SAFETY)  # pages bring a policy of their own
    headers[reply.SERVER] = reply.SAFETY[reply.SERVER]  # instead of aiohttp and its version
    if root[DRAINING].is_set():
        answer.force_close()
        headers["Connection"] = "close"
    if is_secure(request):
        headers.setdefault("Strict-Transport-Security", HSTS)
    if root[CONFIG].server.cors_origins:
        open_to_origins(request, answer)
