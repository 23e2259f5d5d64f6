"""The two sockets of older clients: one for all chats, one per chat; and sending both away when the server stops."""

from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from messenger.apps.classic import closing, service, views
from messenger.apps.classic.connection import ClassicCall, ClassicConnection, ClassicContext, Dialect
from messenger.apps.classic.schemas import AllChatsRead, AllChatsSend, OneChatRead, OneChatSend
from messenger.apps.messages.service import HISTORY, SENDER
from messenger.web import paging, quota
from messenger.web.access import LIMITS, by_token, charged, me, streaming
from messenger.web.app_keys import ARRIVED_AT, LOG
from messenger.web.body import convert
from messenger.web.sockets.link import Link
from messenger.web.sockets.links import Pace, holding
from messenger.web.sockets.upgrade import serve

NO_CHAT = 0  # an id that nothing has

CONTEXT: web.AppKey[ClassicContext] = web.AppKey("classic_context", ClassicContext)
PACE: web.AppKey[Pace] = web.AppKey("classic_pace", Pace)
DIALECTS: web.AppKey[tuple[Dialect, Dialect]] = web.AppKey("classic_dialects")


@streaming
@by_token
async def all_chats(request: web.Request) -> web.StreamResponse:
    return await hold(request, request.app[DIALECTS][0], None)


@streaming
@by_token
async def one_chat(request: web.Request) -> web.StreamResponse:
    """These clients look at the close code, so a person who is not in the chat gets one."""
    chat_id = paging.find_id(request.match_info["chat_id"])
    return await hold(request, request.app[DIALECTS][1], chat_id if chat_id is not None else NO_CHAT)


async def hold(request: web.Request, dialect: Dialect, chat_id: int | None) -> web.StreamResponse:
    root, identity, context = request.app, me(request), request.app[CONTEXT]
    # Older clients cannot resume: what is said once they are told that the socket is open must reach them.
    await root[LOG].barrier(request[ARRIVED_AT])
    after = root[LOG].followed_to.position

    def make(link: Link) -> ClassicConnection:
        return ClassicConnection(link, root, identity, context, dialect, chat_id, after=after)

    return await serve(request, context.links, identity.user_id, make)


# --- their frames


@charged("send")
async def say(asker: ClassicCall, frame: dict[str, Any]) -> None:
    said = convert(frame, AllChatsSend)
    await service.say(asker.root[SENDER], asker.me, int(said.chat_id), said.text)


async def read(asker: ClassicCall, frame: dict[str, Any]) -> None:
    mark = convert(frame, AllChatsRead)
    await service.read(asker.root[SENDER], asker.me, int(mark.chat_id), int(mark.id))


@charged("send")
async def say_here(asker: ClassicCall, frame: dict[str, Any]) -> None:
    said = convert(frame, OneChatSend)
    await service.say_named(asker.root[SENDER], asker.me, asker.chat_id, said.message_id, said.text)


async def read_here(asker: ClassicCall, frame: dict[str, Any]) -> None:
    sender, history = asker.root[SENDER], asker.root[HISTORY]
    await service.read_named(sender, history, asker.me, asker.chat_id, convert(frame, OneChatRead).message_id)


def dialects() -> tuple[Dialect, Dialect]:
    """Of all chats, and of one."""
    return (
        Dialect(
            field="type",
            verbs={"new_message": say, "read_message": read},
            render=views.all_chats_message,
            receipts="message_read",
            echoes_rest=True,
        ),
        Dialect(
            field="action",
            verbs={"send_message": say_here, "message_read": read_here},
            render=views.one_chat_message,
            receipts="message_read_by_all",
            echoes_rest=False,
        ),
    )


async def context(root: web.Application) -> AsyncIterator[None]:
    root[DIALECTS] = dialects()
    limit = root[LIMITS].default if LIMITS in root else None
    async with holding(root, root[PACE]) as links:
        root[CONTEXT] = ClassicContext(root[LOG], links, limit)
        yield


async def drain(root: web.Application) -> None:
    for link in root[CONTEXT].links:
        link.close(closing.GOING_AWAY)


def setup(root: web.Application) -> None:
    quota.setup(root)
    root[PACE] = Pace()
    root.on_shutdown.append(drain)


routes = [
    web.get("/chats/ws", all_chats, allow_head=False),
    web.get("/ws/{chat_id}", one_chat, allow_head=False),
]
