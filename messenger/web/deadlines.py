"""How long a handler may take. For a body that is still arriving there is a deadline of its own (web/body.py)."""

import asyncio
import logging
import time
from contextlib import suppress

from aiohttp import web
from aiohttp.typedefs import Handler

from messenger.errors import Unavailable
from messenger.web.app_keys import ARRIVED_AT, REQUEST_ID
from messenger.web.body import BODY_SECONDS
from messenger.web.recording import template

log = logging.getLogger(__name__)

HANDLER_SECONDS = 15.0


async def in_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The handler's time starts when the body is here, and what was tried before counts (web/kept.py)."""
    has_body = not request.content.is_eof()
    left = HANDLER_SECONDS
    if ARRIVED_AT in request:
        left -= time.monotonic() - request[ARRIVED_AT]
    try:
        async with asyncio.timeout(left + (BODY_SECONDS if has_body else 0)) as deadline:
            if has_body:
                request.content.on_eof(lambda: _restart(deadline))
            return await handler(request)
    except TimeoutError:
        if not deadline.expired():
            raise
        log.warning("took too long route=%s request_id=%s", template(request), request[REQUEST_ID])
        raise Unavailable("The request took too long to answer.", retry_after=1) from None


def _restart(deadline: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # answered before its body was here
        deadline.reschedule(asyncio.get_running_loop().time() + HANDLER_SECONDS)
