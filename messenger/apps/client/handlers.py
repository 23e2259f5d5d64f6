"""The page at /, its files, and what it wants to know of the server before anybody has signed in.

All addresses in them are relative, so that a proxy may serve the page below a path of its own.
"""

import asyncio
import time
from collections.abc import Callable

from aiohttp import web

from messenger import __version__
from messenger.apps.auth import service as auth
from messenger.apps.client.assets import MANIFEST, PAGE, STATIC, WORKER, Asset, Assets, reader
from messenger.errors import NotFound
from messenger.settings import Mode
from messenger.web import reply
from messenger.web.access import free, public
from messenger.web.app_keys import CONFIG

ASSETS: web.AppKey[Callable[[], Assets]] = web.AppKey("client_assets")
ACCOUNTS: web.AppKey["Accounts"] = web.AppKey("client_accounts")

LIBRARY = "messenger.js"
# Nothing comes from, or goes to, another server, and no text becomes code: the page has one policy that makes script
# addresses, for its service worker.
POLICY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; font-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types messenger",
    "Cross-Origin-Opener-Policy": "same-origin",
}
FRESH = {"Cache-Control": "no-cache"}
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
FOR_EVERYBODY = {"Access-Control-Allow-Origin": "*"}


class Accounts:
    """Are there any? Asked at most once a second."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._exist, self._until = False, 0.0

    async def exist(self, context: auth.AuthContext) -> bool:
        async with self._lock:
            if time.monotonic() >= self._until:
                self._exist = await auth.has_accounts(context)
                self._until = time.monotonic() + 1
            return self._exist


@free
@public
async def page(request: web.Request) -> web.Response:
    return await _named(request, PAGE, POLICY)


@free
@public
async def worker(request: web.Request) -> web.Response:
    return await _named(request, WORKER, POLICY)  # what a service worker may fetch is said with its own file


@free
@public
async def manifest(request: web.Request) -> web.Response:
    return await _named(request, MANIFEST, {})


@free
@public
async def library(request: web.Request) -> web.Response:
    return await _named(request, LIBRARY, FOR_EVERYBODY)


@free
@public
async def asset(request: web.Request) -> web.Response:
    found = request.app[ASSETS]().find(request.match_info["version"], request.match_info["path"])
    if found is None:
        raise NotFound
    return await _answer(request, found, FOR_EVER)


@free
@public
async def facts(request: web.Request) -> web.Response:
    known = {
        "has_accounts": await request.app[ACCOUNTS].exist(request.app[auth.AUTH]),
        "password_min_length": request.app[CONFIG].auth.password_min_length,
        "version": __version__,
    }
    return reply.json(known, headers=reply.FRESH)


async def _named(request: web.Request, name: str, headers: dict[str, str]) -> web.Response:
    return await _answer(request, request.app[ASSETS]().files[name], {**FRESH, **headers})


async def _answer(request: web.Request, found: Asset, headers: dict[str, str]) -> web.Response:
    headers = {**headers, "ETag": reply.weak(found.tag), "Vary": "Accept-Encoding"}
    if any(known.value in {found.tag, "*"} for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    body, coding = await found.encoded(accepted_codings(request.headers.get("Accept-Encoding", "")))
    if coding:
        headers["Content-Encoding"] = coding
    return web.Response(body=body, headers={**headers, "Content-Type": found.media_type})


def accepted_codings(header: str) -> frozenset[str]:
    """Those that are named and not excluded by `q=0`."""
    found = set()
    for one in header.lower().split(","):
        name, _, weight = one.replace(" ", "").partition(";q=")
        if weight.strip("0.") or not weight:
            found.add(name)
    return frozenset(found)


def setup(root: web.Application) -> None:
    root[ASSETS] = reader(STATIC, changing=root[CONFIG].mode is Mode.DEV)
    root[ACCOUNTS] = Accounts()


routes = [
    web.get("/", page),
    web.get("/sw.js", worker),
    web.get("/manifest.webmanifest", manifest),
    web.get("/messenger.js", library),
    web.get("/client.json", facts),
    web.get("/static/{version}/{path:.+}", asset),
]
