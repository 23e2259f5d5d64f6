"""/metrics, and the figures that are read elsewhere for it."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from messenger.apps.metrics.registry import METRICS, SHARED
from messenger.web.access import LIMITS, free, public
from messenger.web.app_keys import DATABASE, LIVENESS, LOG


@free
@public
async def metrics(request: web.Request) -> web.Response:
    _look(request.app)
    return web.Response(
        body=request.app[METRICS].text(), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"}
    )


async def gauges(app: web.Application) -> AsyncIterator[None]:
    """A scrape meets one worker; the others write down every second what they would have said."""
    if not SHARED:
        yield
        return
    task = asyncio.create_task(_sample(app))
    yield
    task.cancel()
    await asyncio.wait({task})
    app[METRICS].write_down()


async def _sample(app: web.Application) -> None:
    while True:
        _look(app)
        app[METRICS].write_down()
        await asyncio.sleep(1)


def _look(app: web.Application) -> None:
    found, wire = app[METRICS], app[LOG].wire
    found.pool_in_use.set(app[DATABASE].in_use)
    found.doorbells_rung.reaches(wire.rung)
    found.doorbells_heard.reaches(wire.heard)
    found.silences.reaches(app[LIVENESS].silences)
    if LIMITS in app:
        found.limited.reaches(app[LIMITS].refused)


routes = [web.get("/metrics", metrics)]
