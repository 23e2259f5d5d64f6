"""Search: at once, and as tasks. The index follows the log; nothing here slows sending."""

from collections.abc import AsyncIterator
from functools import partial

from aiohttp import web

from messenger.apps.search import engines, events, handlers, index, results, tasks
from messenger.apps.search.backlog import backlog
from messenger.subapp import SubApp
from messenger.web.app_keys import ACCOUNT_DELETED, CONFIG, DATABASE
from messenger.web.figures import SEARCH_BACKLOG


async def engine(root: web.Application) -> AsyncIterator[None]:
    working = root[handlers.ENGINE] = engines.make(
        root[CONFIG], root[DATABASE], root[handlers.RESULTS], root[index.INDEX]
    )
    working.start()
    yield
    await working.stop()
    await root[handlers.RESULTS].close()


def setup(root: web.Application) -> None:
    found = root[handlers.RESULTS] = results.make(root[CONFIG])
    root[ACCOUNT_DELETED].append(partial(tasks.forget, found))
    db = root[DATABASE]
    root[SEARCH_BACKLOG] = lambda: backlog(db)


app = SubApp(
    name="search",
    routes=handlers.routes,
    event_renderers=events.event_renderers,
    contexts=[index.context, engine],
    requires=("auth", "chats", "messages"),
    setup=setup,
)
