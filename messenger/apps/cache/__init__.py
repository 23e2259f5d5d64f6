"""Cache: keeps answers that are expensive. Without it every answer is made anew, and nothing else changes."""

from messenger.apps.cache import page_caches
from messenger.subapp import SubApp

app = SubApp(name="cache", setup=page_caches.setup, contexts=[page_caches.context])
