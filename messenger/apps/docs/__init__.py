"""Docs: Swagger UI without any other server, the contract as a file, the error codes, the table of enabled sub-apps.

The pages live in an aiohttp application of their own, mounted by `add_subapp`: the one prefix nobody else nests in,
and the specimen for the escape hatch `setup`.
"""

from messenger.apps.docs import handlers
from messenger.subapp import SubApp

app = SubApp(name="docs", routes=handlers.routes, setup=handlers.mount)
