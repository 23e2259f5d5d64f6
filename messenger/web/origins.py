"""Does a browser's request come from a page of ours? Asked wherever a cookie could speak for its owner.

Own is what has the host (and port) the request was sent to, and what CORS_ORIGINS names. Programs that are not
browsers send neither of the headers asked for.
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web
from multidict import MultiMapping

from messenger.errors import CsrfFailed
from messenger.web.app_keys import CONFIG, root_of

DEFAULT_PORTS = {"http": ":80", "https": ":443"}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_FETCHES = frozenset({"same-origin", "none"})


def refuse_foreign_page(request: web.Request) -> None:
    """For requests that a foreign page could make a browser send with its owner's cookie, or to plant one."""
    if not is_own_page(request):
        raise CsrfFailed


def is_own_page(request: web.Request) -> bool:
    return is_own(request.headers, request.host, root_of(request)[CONFIG].server.cors_origins)


def is_own(headers: MultiMapping[str], host: str, allowed: Collection[str]) -> bool:
    origins = headers.getall("Origin", [])
    if len(origins) > 1:
        return False
    if origins:
        return _is_own_origin(origins[0].strip().lower(), host.lower(), allowed)
    return headers.get("Sec-Fetch-Site", "none").strip().lower() in OWN_FETCHES


def _is_own_origin(origin: str, host: str, allowed: Collection[str]) -> bool:
    if "*" in allowed or origin in {known.rstrip("/").lower() for known in allowed}:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if parts.scheme not in DEFAULT_PORTS or parts.path or parts.query or parts.fragment:
        return False
    port = DEFAULT_PORTS[parts.scheme]
    return parts.netloc.removesuffix(port) == host.removesuffix(port)
