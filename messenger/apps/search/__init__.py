"""Search: at once, and as tasks. The index follows the log; nothing here slows sending."""

from collections.abc import AsyncIterator

from aiohttp import web

from messenger.apps.search import handlers, index, shows, tasks
from messenger.apps.search.engines.local import LocalEngine
from messenger.subapp import SubApp
from messenger.web.keys import ACCOUNT_DELETED, CONFIG, DATABASE


async def engine(root: web.Application) -> AsyncIterator[None]:
    working = root[handlers.ENGINE] = LocalEngine(root[DATABASE], root[CONFIG].search_delay)
    working.start()
    yield
    await working.stop()


def setup(root: web.Application) -> None:
    root[ACCOUNT_DELETED].append(tasks.forget)


app = SubApp(
    name="search",
    routes=handlers.routes,
    shows=shows.shows,
    contexts=[index.context, engine],
    requires=("auth", "chats", "messages"),
    setup=setup,
)
