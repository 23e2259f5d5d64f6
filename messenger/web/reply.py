"""How an answer is written: JSON encoded once, problems in one shape, headers of every answer."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from math import ceil
from types import MappingProxyType
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
RATE_LIMIT_POLICY, RATE_LIMIT = istr("RateLimit-Policy"), istr("RateLimit")
X_LIMIT, X_REMAINING, X_RESET = (istr(f"X-RateLimit-{what}") for what in ("Limit", "Remaining", "Reset"))
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
    """What only this person may see; 304 when the client shows that it has exactly this."""
    body = ENCODER.encode(value)
    return fresh_bytes(request, body, hashlib.sha256(body).hexdigest()[:32])


def fresh_bytes(request: web.Request, body: bytes, tag: str) -> web.Response:
    headers = {**PRIVATE, "ETag": weak(tag)}
    if "If-None-Match" in request.headers and any(known.value in {tag, "*"} for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)


def weak(tag: str) -> str:
    """The tag is weak, since proxies may compress."""
    return f'W/"{tag}"'


@lru_cache(maxsize=4096)
def quota_headers(quota: Quota, remaining: int, reset: int) -> Mapping[str, str]:
    """In the form of the IETF's draft, and in the one that came before it; `reset`: seconds until there is more."""
    return MappingProxyType(
        {
            RATE_LIMIT_POLICY: f'"{quota.name}";q={quota.most};w={quota.window}',
            RATE_LIMIT: f'"{quota.name}";r={remaining};t={reset}',
            X_LIMIT: str(quota.most),
            X_REMAINING: str(remaining),
            X_RESET: str(reset),
        }
    )


def nothing() -> web.Response:
    return web.Response(status=204)


def problem(error: MessengerError, request_id: str | None) -> web.Response:
    headers = {}
    if error.retry_after is not None:
        seconds = max(1, ceil(error.retry_after))
        headers["Retry-After"] = str(seconds)
        if isinstance(error, TooManyRequests) and error.quota is not None:
            headers |= quota_headers(error.quota, 0, seconds)
    return web.Response(
        body=ENCODER.encode(error.problem(request_id)), status=error.status, content_type=PROBLEM, headers=headers
    )
