"""Health: is the process alive, is the database there, should a balancer send people here. Open to everybody."""

from messenger.apps.health import handlers
from messenger.subapp import SubApp

app = SubApp(name="health", routes=handlers.routes, contexts=[handlers.pulses])
