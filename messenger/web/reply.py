"""How an answer is written: JSON encoded once, problems in one shape, headers of every answer."""

import hashlib
from typing import Any

import msgspec
from aiohttp import web
from multidict import istr

from messenger.errors import MessengerError, Quota, TooManyRequests

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
    """What only this person may see, and 304 for whoever has seen exactly this."""
    body = ENCODER.encode(value)
    return fresh_bytes(request, body, hashlib.sha256(body).hexdigest()[:32])


def fresh_bytes(request: web.Request, body: bytes, tag: str) -> web.Response:
    """The tag is weak, since proxies may compress."""
    headers = {**PRIVATE, "ETag": f'W/"{tag}"'}
    if "If-None-Match" in request.headers and any(known.value in {tag, "*"} for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)


def quota_headers(quota: Quota, *, remaining: int, reset: str) -> dict[str, str]:
    """In the form of the IETF's draft, and in the one that came before it; `reset`: seconds until there is more."""
    return {
        "RateLimit-Policy": f'"{quota.name}";q={quota.most};w={quota.window}',
        "RateLimit": f'"{quota.name}";r={remaining};t={reset}',
        "X-RateLimit-Limit": str(quota.most),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": reset,
    }


def nothing() -> web.Response:
    return web.Response(status=204)


def problem(error: MessengerError, request_id: str | None) -> web.Response:
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, -int(-error.retry_after // 1)))
        if isinstance(error, TooManyRequests) and error.quota is not None:
            headers |= quota_headers(error.quota, remaining=0, reset=headers["Retry-After"])
    return web.Response(
        body=ENCODER.encode(error.problem(request_id)), status=error.status, content_type=PROBLEM, headers=headers
    )
