"""The two sockets of older clients: one for all chats, one per chat; and sending both away when the server stops."""

from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from messenger.apps.classic import closing, service, views
from messenger.apps.classic.connection import Connection, Place, Speech, Switchboard
from messenger.apps.classic.schemas import Read, ReadHere, Say, SayHere
from messenger.web import paging, seats
from messenger.web.access import by_token, charged, me, streaming
from messenger.web.body import convert
from messenger.web.keys import LIMITS, LOG
from messenger.web.sockets.link import Pace
from messenger.web.sockets.outbox import Post
from messenger.web.sockets.upgrade import upgraded

NO_CHAT = 0  # an id that nothing has

OLDER: web.AppKey[set[Connection]] = web.AppKey("classic_connections")
SWITCHBOARD: web.AppKey[Switchboard] = web.AppKey("classic_switchboard", Switchboard)
PACE: web.AppKey[Pace] = web.AppKey("classic_pace", Pace)
SPEECHES: web.AppKey[tuple[Speech, Speech]] = web.AppKey("classic_speeches")


@streaming
@by_token
async def all_chats(request: web.Request) -> web.StreamResponse:
    return await hold(request, request.app[SPEECHES][0], None)


@streaming
@by_token
async def one_chat(request: web.Request) -> web.StreamResponse:
    """Whoever is not in the chat is told so by the socket's close code, which is where these clients look."""
    chat_id = paging.find_id(request.match_info["chat_id"])
    return await hold(request, request.app[SPEECHES][1], chat_id if chat_id is not None else NO_CHAT)


async def hold(request: web.Request, speech: Speech, chat_id: int | None) -> web.StreamResponse:
    root, identity = request.app, me(request)
    async with upgraded(request, identity.user_id) as response:
        connection = Connection(request, response, identity, root[SWITCHBOARD], speech, chat_id)
        root[OLDER].add(connection)
        try:
            await connection.run()
        finally:
            root[OLDER].discard(connection)
    return response


# --- what is said on them


@charged("send")
async def say(place: Place, frame: dict[str, Any]) -> None:
    said = convert(frame, Say)
    await service.say(place.root, place.me, int(said.chat_id), said.text)


async def read(place: Place, frame: dict[str, Any]) -> None:
    mark = convert(frame, Read)
    await service.read(place.root, place.me, int(mark.chat_id), int(mark.id))


@charged("send")
async def say_here(place: Place, frame: dict[str, Any]) -> None:
    said = convert(frame, SayHere)
    await service.say_named(place.root, place.me, place.chat_id, said.message_id, said.text)


async def read_here(place: Place, frame: dict[str, Any]) -> None:
    await service.read_named(place.root, place.me, place.chat_id, convert(frame, ReadHere).message_id)


def speeches() -> tuple[Speech, Speech]:
    """Of all chats, and of one."""
    return (
        Speech(
            field="type",
            verbs={"new_message": say, "read_message": read},
            told=views.told_to_all_chats,
            receipts="message_read",
            echoes_rest=True,
        ),
        Speech(
            field="action",
            verbs={"send_message": say_here, "message_read": read_here},
            told=views.told_to_one_chat,
            receipts="message_read_by_all",
            echoes_rest=False,
        ),
    )


async def context(root: web.Application) -> AsyncIterator[None]:
    root[OLDER] = set()
    root[SPEECHES] = speeches()
    limit = root[LIMITS].default if LIMITS in root else None
    root[SWITCHBOARD] = Switchboard(root[LOG], root[PACE], Post(), limit)
    yield


async def drain(root: web.Application) -> None:
    connections = root[OLDER]
    for connection in tuple(connections):
        connection.close(closing.GOING_AWAY)


def setup(root: web.Application) -> None:
    seats.setup(root)
    root[PACE] = Pace()
    root.on_shutdown.append(drain)


routes = [
    web.get("/chats/ws", all_chats, allow_head=False),
    web.get("/ws/{chat_id}", one_chat, allow_head=False),
]
