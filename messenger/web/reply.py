"""How an answer is written: JSON encoded once, problems in one shape, headers of every answer."""

import hashlib
from typing import Any

import msgspec
from aiohttp import web
from multidict import istr

from messenger.errors import MessengerError

ENCODER = msgspec.json.Encoder()
PROBLEM = "application/problem+json"

# Names that are known beforehand need not be made comparable for each answer: that is what `istr` keeps.
REQUEST_ID = istr("X-Request-ID")
SERVER = istr("Server")
# No page of ours is embedded, sniffed or scripted; pages of client and docs carry their own policy.
SAFETY: dict[str, str] = {
    SERVER: "messenger",
    istr("X-Content-Type-Options"): "nosniff",
    istr("Content-Security-Policy"): "default-src 'none'; frame-ancestors 'none'",
    istr("Referrer-Policy"): "no-referrer",
    istr("Cross-Origin-Resource-Policy"): "same-origin",
}
PRIVATE: dict[str, str] = {istr("Cache-Control"): "private, no-cache", istr("Vary"): "Authorization, Cookie"}
FRESH: dict[str, str] = {istr("Cache-Control"): "no-store"}


def json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=ENCODER.encode(value), status=status, content_type="application/json", headers=headers)


def fresh(request: web.Request, value: Any) -> web.Response:
    """What only this person may see, and 304 for whoever has seen exactly this; weak, since proxies may compress."""
    response = json(value, headers=PRIVATE)
    assert isinstance(response.body, bytes)
    tag = hashlib.sha256(response.body).hexdigest()[:32]
    if any(known.value in {tag, "*"} for known in request.if_none_match or ()):
        response = web.Response(status=304, headers=PRIVATE)
    response.headers["ETag"] = f'W/"{tag}"'
    return response


def nothing() -> web.Response:
    return web.Response(status=204)


def problem(error: MessengerError, request_id: str | None) -> web.Response:
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, -int(-error.retry_after // 1)))
    return web.Response(
        body=ENCODER.encode(error.problem(request_id)), status=error.status, content_type=PROBLEM, headers=headers
    )
