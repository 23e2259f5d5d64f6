"""Who is typing and who is here: passing news, never stored, dropped first under pressure."""

from messenger.apps.presence.commands import commands
from messenger.subapp import SubApp

app = SubApp(name="presence", commands=commands, after=("ws",))
