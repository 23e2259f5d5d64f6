"""Throttling: how often what may be done, by a person or else an address. Per process: the buckets that are not full.

Wrong passwords are counted by auth, in the database, whatever becomes of this sub-app.
"""

from messenger.apps.throttling import limit_sync, middleware
from messenger.subapp import SubApp

app = SubApp(
    name="throttling",
    middlewares=[middleware.limited],
    contexts=[limit_sync.context],
    after=("auth",),
    setup=middleware.setup,
)
