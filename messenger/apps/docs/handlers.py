"""/docs with all it needs on board, and the contract files at the addresses where tools expect them.

All addresses in the pages are relative, so that a proxy may serve them below a path of its own.
"""

from pathlib import Path

from aiohttp import web

from messenger import errors
from messenger.apps.docs import contract, pages
from messenger.errors import NotFound
from messenger.subapp import Placed
from messenger.web.access import free, public
from messenger.web.app_keys import ARRANGED

STATIC = Path(__file__).parent / "static"
INDEX = STATIC / "index.html"
VENDORED = STATIC / "swagger-ui"
ASSETS = {
    path.name: path
    for path in (
        STATIC / "docs.js",
        STATIC / "docs.css",
        VENDORED / "swagger-ui-bundle.js",
        VENDORED / "swagger-ui-bundle.js.LICENSE.txt",
        VENDORED / "swagger-ui.css",
        VENDORED / "favicon-32x32.png",
    )
}
# Said here, since each system has its own idea of what a .js file is.
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}
# Swagger UI draws its icons from data: addresses; nothing of it comes from, or goes to, another server.
POLICY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}


@free
@public
async def index(request: web.Request) -> web.Response:
    return _page(INDEX.read_text().format(top=_top(request)))


@free
@public
async def asset(request: web.Request) -> web.StreamResponse:
    path = ASSETS.get(request.match_info["name"])
    if path is None:
        raise NotFound
    return web.FileResponse(path, headers={"Content-Type": TYPES[path.suffix], "Cache-Control": "no-cache"})


@free
@public
async def error_page(request: web.Request) -> web.Response:
    return _page(pages.errors(errors.catalogue(), _top(request)))


@free
@public
async def apps_page(request: web.Request) -> web.Response:
    placed: list[Placed] = request.config_dict[ARRANGED]
    return _page(pages.apps(placed, _top(request)))


@free
@public
async def swagger(request: web.Request) -> web.Response:
    return _contract(request, "swagger.yml")


@free
@public
async def asyncapi(request: web.Request) -> web.Response:
    return _contract(request, "asyncapi.yml")


def _contract(request: web.Request, name: str) -> web.Response:
    text = contract.served(name, frozenset(one.app.name for one in request.app[ARRANGED]))
    return web.Response(body=text, content_type="application/yaml", headers={"Cache-Control": "no-cache"})


def _top(request: web.Request) -> str:
    """The way to where the server begins, from the address as it was sent: a slash at its end is a step as well."""
    return "../" * (request.raw_path.partition("?")[0].count("/") - 1)


def _page(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", headers=POLICY)


def mount(root: web.Application) -> None:
    docs = web.Application()
    docs.add_routes(
        [
            web.get("", index),
            web.get("/errors", error_page),
            web.get("/apps", apps_page),
            web.get("/static/{name}", asset),
        ]
    )
    root.add_subapp("/docs", docs)


routes = [web.get("/swagger.yml", swagger), web.get("/asyncapi.yml", asyncapi)]
