"""Chats: who talks with whom, and who may do what there. Keeps nothing in the process."""

from aiohttp import web

from messenger.apps.chats import events, handlers, members
from messenger.subapp import SubApp
from messenger.web.app_keys import ACCOUNT_DELETED, NAME_CHANGED


def setup(root: web.Application) -> None:
    root[ACCOUNT_DELETED].append(members.forget)
    root[NAME_CHANGED].append(members.rename)


app = SubApp(
    name="chats", routes=handlers.routes, event_renderers=events.event_renderers, requires=("auth",), setup=setup
)
