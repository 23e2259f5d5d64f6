"""Counts every answer by its route, and how long it took: some microseconds each."""

from functools import partial
from http import HTTPMethod

from aiohttp import web

from messenger.apps.metrics.registry import METRICS, Metrics
from messenger.web.recording import ANSWERED

METHODS = frozenset(method.value for method in HTTPMethod)


def install(root: web.Application) -> None:
    """Counts where requests are recorded, outside of all middlewares, so refusals are counted too."""
    root[METRICS] = Metrics()
    root[ANSWERED].append(partial(_count, root[METRICS]))


def _count(metrics: Metrics, method: str, route: str | None, status: int, seconds: float) -> None:
    metrics.note(method if method in METHODS else "other", route or "unmatched", status, seconds)
