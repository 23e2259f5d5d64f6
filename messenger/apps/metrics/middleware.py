"""Counts every request by its route, and measures how long the answer took: some microseconds each."""

from http import HTTPMethod
from time import perf_counter

from aiohttp import web
from aiohttp.typedefs import Handler

from messenger.apps.metrics.registry import METRICS, Metrics

METHODS = frozenset(HTTPMethod)
CLIENT_CLOSED = 499  # the word of nginx for a caller who left before the answer


def install(root: web.Application) -> None:
    """Outside of all other middlewares, so that what they refuse is counted as well."""
    root[METRICS] = Metrics()
    root.middlewares.insert(0, count)


@web.middleware
async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
    started, status = perf_counter(), CLIENT_CLOSED
    try:
        response = await handler(request)
        status = response.status
        return response
    except web.HTTPException as redirect:
        status = redirect.status
        raise
    finally:
        _note(request.app[METRICS], request, status, perf_counter() - started)


def _note(metrics: Metrics, request: web.Request, status: int, seconds: float) -> None:
    method = request.method if request.method in METHODS else "other"
    resource = request.match_info.route.resource
    route = "unmatched" if resource is None else resource.canonical
    metrics.note(method, route, status, seconds)
