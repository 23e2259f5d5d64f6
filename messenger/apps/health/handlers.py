"""/ping and /healthz tell of the process only; /ping_db and /readyz of what it needs."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from messenger.apps.health import helpers, service
from messenger.apps.health.pulse import Beat, Pulse
from messenger.errors import Unavailable
from messenger.web import reply
from messenger.web.access import free, public
from messenger.web.app_keys import CONFIG, DATABASE, DRAINING

PULSES: web.AppKey[dict[str, Pulse]] = web.AppKey("pulses")  # of what every request needs
HELPERS: web.AppKey[dict[str, Pulse]] = web.AppKey("helpers")  # only shown


async def pulses(app: web.Application) -> AsyncIterator[None]:
    db = app[DATABASE]
    service.read_migrations()
    app[PULSES] = {
        "database": Pulse("database", lambda: service.database(db), patience=2, fresh=0.5),
        "schema": Pulse("schema", lambda: service.schema_fits(db), patience=2, fresh=5),
    }
    app[HELPERS] = helpers.named_in(app[CONFIG])
    yield
    for pulse in (*app[PULSES].values(), *app[HELPERS].values()):
        await pulse.stop()


@free
@public
async def ping(request: web.Request) -> web.Response:
    return reply.json({"message": "pong"}, headers=reply.FRESH)


@free
@public
async def ping_db(request: web.Request) -> web.Response:
    beat = await request.app[PULSES]["database"].take()
    if not beat.ok:
        raise Unavailable("The database does not answer right now.", retry_after=1)
    return reply.json({"message": "pong"}, headers=reply.FRESH)


@free
@public
async def healthz(request: web.Request) -> web.Response:
    return reply.json({"message": "alive"}, headers=reply.FRESH)


@free
@public
async def readyz(request: web.Request) -> web.Response:
    draining = request.app[DRAINING].is_set()
    needed, helping = await asyncio.gather(all_of(request.app[PULSES]), all_of(request.app[HELPERS]))
    ready = not draining and all(beat.ok for beat in needed.values())
    answer = {
        "ready": ready,
        "draining": draining,
        "degraded": not all(beat.ok for beat in helping.values()),
        "dependencies": {**needed, **helping},
    }
    return reply.json(answer, status=200 if ready else 503, headers=reply.FRESH)


async def all_of(pulses: dict[str, Pulse]) -> dict[str, Beat]:
    beats = await asyncio.gather(*(pulse.take() for pulse in pulses.values()))
    return dict(zip(pulses, beats, strict=True))


routes = [
    web.get("/ping", ping),
    web.get("/ping_db", ping_db),
    web.get("/healthz", healthz),
    web.get("/readyz", readyz),
]
