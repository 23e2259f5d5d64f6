"""Keys of what is shared through the application and the request."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from messenger.identity import Caller, Identity, UserId
from messenger.settings import Config

if TYPE_CHECKING:
    from messenger.db.database import Database, Transaction
    from messenger.db.liveness import Liveness
    from messenger.log.entries import Cursor
    from messenger.log.log import Log
    from messenger.subapp import Placed

CONFIG: web.AppKey[Config] = web.AppKey("config", Config)
DATABASE: web.AppKey["Database"] = web.AppKey("database")
LIVENESS: web.AppKey["Liveness"] = web.AppKey("liveness")  # of the database
LOG: web.AppKey["Log"] = web.AppKey("log")
# Called in the transaction that deletes an account or changes its name; sub-apps that show the person add to them.
ACCOUNT_DELETED: web.AppKey["list[Callable[[Transaction, Identity, Caller], Awaitable[None]]]"] = web.AppKey(
    "account_deleted"
)
NAME_CHANGED: web.AppKey["list[Callable[[Transaction, UserId], Awaitable[None]]]"] = web.AppKey("name_changed")
ARRANGED: web.AppKey["list[Placed]"] = web.AppKey("arranged")  # the sub-apps in their order
DRAINING: web.AppKey[asyncio.Event] = web.AppKey("draining", asyncio.Event)  # set: not ready, about to stop

IDENTITY: web.RequestKey[Identity] = web.RequestKey("identity", Identity)  # absent: nobody signed in
REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
ADDRESS: web.RequestKey[str] = web.RequestKey("address", str)  # read it by clients.address_of
ARRIVED_AT: web.RequestKey[float] = web.RequestKey("arrived_at", float)  # when, by the monotonic clock
FOLLOWED_TO: web.RequestKey["Cursor"] = web.RequestKey("followed_to")  # the place in the log before anything was read
BELIEVED_UNTIL: web.RequestKey[float] = web.RequestKey("believed_until", float)  # the credential, without news


def root_app(request: web.Request) -> web.Application:
    """It holds all keys, also when a nested application answers. (`config_dict` is a new map each time.)"""
    return request.match_info.apps[0]
