"""Classic: routes and sockets of older clients, with numbers for ids, mapped onto the services of the others.

Keeps nothing in the process but its open sockets.
"""

from messenger.apps.classic import handlers, sockets
from messenger.subapp import SubApp

app = SubApp(
    name="classic",
    routes=[*handlers.routes, *sockets.routes],
    contexts=[sockets.context],
    setup=sockets.setup,
    requires=("auth", "chats", "messages"),
)
