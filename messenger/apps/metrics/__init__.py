"""Metrics: what this server counts, in Prometheus' words, at /metrics. Keep that path from strangers at the proxy."""

from messenger.apps.metrics import counting, handlers
from messenger.subapp import SubApp

app = SubApp(
    name="metrics",
    routes=handlers.routes,
    contexts=[handlers.gauges],
    setup=counting.install,
)
