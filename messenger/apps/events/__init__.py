"""The live stream without a socket: Server-Sent Events, NDJSON and long-poll, byte for byte the same events."""

from messenger.apps.events import handlers
from messenger.subapp import SubApp

app = SubApp(name="events", routes=handlers.routes, contexts=[handlers.context], setup=handlers.setup, after=("auth",))
