"""/metrics, and the figures that are read elsewhere for it."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from messenger.apps.metrics.looking import Questions, look
from messenger.apps.metrics.registry import METRICS, SHARED
from messenger.web.access import free, public

QUESTIONS: web.AppKey[Questions] = web.AppKey("metrics_questions", Questions)


@free
@public
async def metrics(request: web.Request) -> web.Response:
    await request.app[QUESTIONS].ask()
    look(request.app)
    return web.Response(
        body=request.app[METRICS].text(), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"}
    )


async def questions(app: web.Application) -> AsyncIterator[None]:
    app[QUESTIONS] = Questions(app)
    yield
    await app[QUESTIONS].stop()


async def samples(app: web.Application) -> AsyncIterator[None]:
    """A scrape meets one worker; the others write down every second what they would have said."""
    if not SHARED:
        yield
        return
    task = asyncio.create_task(_sample(app))
    yield
    task.cancel()
    await asyncio.wait({task})
    look(app)
    app[METRICS].write_down()


async def _sample(app: web.Application) -> None:
    while True:
        look(app)
        app[METRICS].write_down()
        await asyncio.sleep(1)


routes = [web.get("/metrics", metrics)]
