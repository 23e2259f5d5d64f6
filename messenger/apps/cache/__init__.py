"""Cache: keeps answers that cost much to make. Without it every answer is made anew, and nothing else changes."""

from messenger.apps.cache import shelves
from messenger.subapp import SubApp

app = SubApp(name="cache", setup=shelves.setup, contexts=[shelves.context])
