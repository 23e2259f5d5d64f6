"""WebSockets: one protocol, knowing no feature. Verbs come from the other sub-apps, events from the log."""

from messenger.apps.ws import handlers
from messenger.subapp import SubApp

app = SubApp(name="ws", routes=handlers.routes, contexts=[handlers.context], setup=handlers.setup, after=("auth",))
