"""Messages: sending, history, edits, reactions, read markers. Keeps no state in the process but the sender's queue."""

from messenger.apps.messages import commands, events, handlers, history, inbox, sending
from messenger.subapp import SubApp

app = SubApp(
    name="messages",
    routes=handlers.routes,
    commands=commands.commands,
    event_renderers=events.event_renderers,
    contexts=[history.context, sending.context, inbox.context],
    requires=("auth", "chats"),
)
