"""Search: at once, and as tasks. The index follows the log; nothing here slows sending."""

from messenger.apps.search import handlers, index
from messenger.subapp import SubApp

app = SubApp(
    name="search",
    routes=handlers.routes,
    contexts=[index.context],
    requires=("auth", "chats", "messages"),
)
