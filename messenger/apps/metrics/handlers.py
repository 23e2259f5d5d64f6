"""/metrics, and the gauges that are read rather than counted."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from messenger.apps.metrics.registry import METRICS, SHARED
from messenger.web.access import public
from messenger.web.keys import DATABASE


@public
async def metrics(request: web.Request) -> web.Response:
    found = request.app[METRICS]
    found.pool_in_use.set(request.app[DATABASE].in_use)
    return web.Response(body=found.text(), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})


async def gauges(app: web.Application) -> AsyncIterator[None]:
    """A scrape meets one worker; the others write down every second what they would have said."""
    if not SHARED:
        yield
        return
    task = asyncio.create_task(_sample(app))
    yield
    task.cancel()
    await asyncio.wait({task})


async def _sample(app: web.Application) -> None:
    while True:
        app[METRICS].pool_in_use.set(app[DATABASE].in_use)
        await asyncio.sleep(1)


routes = [web.get("/metrics", metrics)]
