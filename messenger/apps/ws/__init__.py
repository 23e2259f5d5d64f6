"""WebSockets: one protocol without features of its own. Commands come from other sub-apps, events from the log."""

from messenger.apps.ws import handlers
from messenger.subapp import SubApp

app = SubApp(name="ws", routes=handlers.routes, contexts=[handlers.context], setup=handlers.setup, after=("auth",))
