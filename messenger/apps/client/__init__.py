"""Client: the chat page, made of static files, and what it asks before anybody has signed in.

The page speaks to the API as every client does. Kept in the process: its files, read once.
"""

from messenger.apps.client import handlers
from messenger.subapp import SubApp

app = SubApp(
    name="client",
    routes=handlers.routes,
    setup=handlers.setup,
    # It lists chats and messages, and follows them through a socket; everything else it can do without.
    requires=("auth", "chats", "messages", "ws"),
)
