"""Typing and presence: notes that are never stored, and dropped first under pressure."""

from messenger.apps.presence.commands import commands
from messenger.subapp import SubApp

app = SubApp(name="presence", commands=commands, after=("ws",))
