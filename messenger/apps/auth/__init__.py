"""Auth: accounts, sessions, and who is asking. Per process: two slots for hashing passwords, the keys."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from messenger.apps.auth import events, handlers, middleware
from messenger.apps.auth.context import AUTH, AuthContext
from messenger.apps.auth.cookies import SessionCookie
from messenger.apps.auth.memory import Memory
from messenger.apps.auth.renewal import keep_renewing
from messenger.apps.auth.secret_keys import load_keys
from messenger.apps.auth.sweep import keep_sweeping
from messenger.subapp import SubApp
from messenger.web.app_keys import ACCOUNT_DELETED, CONFIG, DATABASE, LOG, NAME_CHANGED


async def serving(root: web.Application) -> AsyncIterator[None]:
    config, db = root[CONFIG], root[DATABASE]
    keys = load_keys(config)
    farewells, renamings = root[ACCOUNT_DELETED], root[NAME_CHANGED]
    root[AUTH] = AuthContext.prepare(config.auth, db, keys, farewells, renamings)
    root[middleware.MEMORY] = Memory(root[LOG])
    root[middleware.COOKIE] = SessionCookie(keys, is_secure=config.cookie_secure)
    tasks = [
        asyncio.create_task(keep_sweeping(db), name="auth sweep"),
        asyncio.create_task(keep_renewing(root[AUTH], root[LOG].hub), name="auth renewal"),
    ]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    root[AUTH].passwords.close()


def setup(root: web.Application) -> None:
    root[ACCOUNT_DELETED] = []
    root[NAME_CHANGED] = []
    root.on_response_prepare.insert(0, middleware.finish_answer)  # what comes after may add to our Vary


app = SubApp(
    name="auth",
    routes=handlers.routes,
    middlewares=[middleware.identify],
    contexts=[serving],
    event_renderers=events.event_renderers,
    setup=setup,
)
