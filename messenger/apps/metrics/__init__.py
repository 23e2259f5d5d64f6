"""Metrics: what this server counts, for Prometheus, at /metrics. Let the proxy keep strangers from that path."""

from messenger.apps.metrics import counting, handlers
from messenger.subapp import SubApp

app = SubApp(
    name="metrics", routes=handlers.routes, contexts=[handlers.questions, handlers.samples], setup=counting.install
)
