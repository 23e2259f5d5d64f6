"""Messages: sending, history, edits, reactions, read markers.

The way of a message: `handlers` or `commands` → `service.submit` → `sending` (statement and answers) → the appender of
the log → PostgreSQL → the tail of the log → `events` (rendered for everybody) → the hub → sockets.
Kept in the process: the queue of the sender, and what is remembered for pages (`memory`).
"""

from messenger.apps.messages import commands, events, handlers, history, inbox, relaying, sending
from messenger.subapp import SubApp

app = SubApp(
    name="messages",
    routes=handlers.routes,
    commands=commands.commands,
    event_renderers=events.event_renderers,
    contexts=[history.context, sending.context, relaying.context, inbox.context],
    requires=("auth", "chats"),
)
