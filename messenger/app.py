"""create_app: the only place where the parts meet. Everything is installed on one root application, in one order."""

from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from messenger.db.database import Database
from messenger.db.liveness import Liveness
from messenger.log.entries import Entry, Fields, Render, render_nothing
from messenger.log.log import Log
from messenger.log.store import append
from messenger.settings import Config
from messenger.subapp import OWN, Placed, load
from messenger.web import access, kept, middlewares
from messenger.web.app_keys import ARRANGED, CONFIG, DATABASE, LIVENESS, LOG
from messenger.web.body import BODY_LIMIT
from messenger.web.page_cache import PAGE_CACHE


def create_app(config: Config, dsn: str, *, placed: list[Placed] | None = None) -> web.Application:
    placed = load(config.served_apps) if placed is None else placed
    root = web.Application(client_max_size=BODY_LIMIT)
    root[CONFIG] = config
    root[ARRANGED] = placed
    direct = str(config.database.direct_url) or dsn
    liveness = root[LIVENESS] = Liveness(direct)
    pooled = bool(config.database.direct_url)
    root[DATABASE] = Database(dsn, append=append, pool_size=config.database.pool_size, pooled=pooled, liveness=liveness)
    root[LOG] = Log(
        direct,
        wire=config.wire,
        redis_url=str(config.redis_url),
        retention_days=config.log_retention_days,
        render=renderer(root, placed),
        liveness=liveness,
    )
    root[DATABASE].on_news = root[LOG].heard_commit
    root.cleanup_ctx.append(_database)
    root.cleanup_ctx.append(_log)
    middlewares.install(root)
    for one in placed:
        root.middlewares.extend(one.app.middlewares)
        root.cleanup_ctx.extend(one.app.contexts)
        root.add_routes(one.app.routes)
        if one.app.setup is not None:
            one.app.setup(root)
    # A middleware of somebody else may have a say in each request, so there each one takes the long way.
    if PAGE_CACHE in root and not any(one.app.middlewares for one in placed if one.origin != OWN):
        kept.install(root)
    root[access.PUBLIC_PATHS] = access.find_public_paths(root)
    return root


def renderer(root: web.Application, placed: Sequence[Placed]) -> Render:
    """Each kind of entry is rendered by the sub-app that owns it."""
    renderers = {kind: renderer for one in placed for kind, renderer in one.app.event_renderers.items()}

    async def render(kind: str, entries: Sequence[Entry]) -> Sequence[Fields]:
        return await renderers[kind](root, entries) if kind in renderers else await render_nothing(kind, entries)

    return render


async def _database(root: web.Application) -> AsyncIterator[None]:
    root[LIVENESS].start()
    yield
    await root[LIVENESS].stop()
    await root[DATABASE].close()


async def _log(root: web.Application) -> AsyncIterator[None]:
    await root[LOG].start()
    yield
    await root[LOG].stop()
