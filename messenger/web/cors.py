"""Pages of other origins that CORS_ORIGINS names."""

from aiohttp import web
from aiohttp.typedefs import Handler

from messenger.web.app_keys import CONFIG, root_of

PREFLIGHT_SECONDS = "600"
READABLE_ELSEWHERE = (
    "ETag, Idempotency-Replayed, RateLimit, RateLimit-Policy, Retry-After, "
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-ID"
)


@web.middleware
async def preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A browser asks before it calls from another origin, without credentials; the answer needs none."""
    asked = request.headers.get("Access-Control-Request-Method")
    if request.method != "OPTIONS" or asked is None or not _allowed_origin(request):
        return await handler(request)
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers", ""),
            "Access-Control-Max-Age": PREFLIGHT_SECONDS,
            "Vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
        },
    )


def open_to_origins(request: web.Request, answer: web.StreamResponse) -> None:
    answer.headers["Vary"] = ", ".join(filter(None, (answer.headers.get("Vary"), "Origin")))
    origin = _allowed_origin(request)
    if origin is None or "Origin" not in request.headers:
        return
    answer.headers["Access-Control-Allow-Origin"] = origin
    answer.headers["Access-Control-Expose-Headers"] = READABLE_ELSEWHERE
    if origin != "*":  # no cookies where every origin may read
        answer.headers["Access-Control-Allow-Credentials"] = "true"


def _allowed_origin(request: web.Request) -> str | None:
    """What Access-Control-Allow-Origin says to this request."""
    allowed = root_of(request)[CONFIG].server.cors_origins
    origin = request.headers.get("Origin")
    if origin is not None and origin in allowed:
        return origin
    return "*" if "*" in allowed else None
