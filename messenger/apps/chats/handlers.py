"""Chats, their members and groups over REST: parse, one call of the service, reply."""

import re

from aiohttp import web

from messenger.apps.chats import members, service, views
from messenger.apps.chats.schemas import (
    ChatChange,
    ListPosition,
    NewChat,
    NewGroup,
    NewMembers,
    NewName,
    NewRole,
    people,
)
from messenger.errors import ChatNotFound, GroupNotFound, UserNotFound
from messenger.identity import MAX_ID, UserId
from messenger.web import paging, reply
from messenger.web.access import me
from messenger.web.app_keys import DATABASE, IDENTITY
from messenger.web.body import read
from messenger.web.clients import caller_of

PAGE, LONGEST_PAGE = 50, 100
LONGEST_PAGE_OF_MEMBERS = 1000
ITERATOR = re.compile(r"([0-9]{1,16})\.([0-9]{1,16})", re.ASCII)
# What is not an id is a chat that does not exist, but for the words that are paths of their own.
CHAT = r"/v1/chats/{chat_id:(?!search(?:/|$))[^/]+}"

routes = web.RouteTableDef()


@routes.post("/v1/chats")
async def create(request: web.Request) -> web.Response:
    wanted = await read(request, NewChat)
    who = request.get(IDENTITY)
    chat_id = await service.create(
        request.app[DATABASE], who, wanted.title, wanted.join, people(wanted.member_ids), caller_of(request)
    )
    view = await service.see(request.app[DATABASE], who, chat_id)
    return reply.json({"chat_id": str(chat_id), "chat": views.chat_as_seen(view)}, status=201, headers=reply.PRIVATE)


@routes.get("/v1/chats")
async def list_mine(request: web.Request) -> web.Response:
    given = paging.query(request, ("limit", "from"))
    limit = paging.whole_number(given, "limit", PAGE, least=1, most=LONGEST_PAGE)
    page = await service.mine(request.app[DATABASE], me(request), start=_position(given), limit=limit)
    iterator = f"{page.next.position}.{page.next.chat_id}" if page.next is not None else None
    chats = [views.chat_as_seen(view) for view in page.chats]
    return reply.fresh(request, {"chats": chats, "next": {"iterator": iterator}})


@routes.get("/v1/sync")
async def sync(request: web.Request) -> web.Response:
    state = await service.sync(request.app[DATABASE], me(request))
    chats = [views.chat_as_seen(view) for view in state.chats]
    return reply.json({"user": state.user, "chats": chats, "cursor": str(state.cursor)})


@routes.get(CHAT)
async def show(request: web.Request) -> web.Response:
    view = await service.see(request.app[DATABASE], request.get(IDENTITY), _chat(request))
    return reply.fresh(request, views.chat_as_seen(view))


@routes.patch(CHAT)
async def change(request: web.Request) -> web.Response:
    chat_id, wanted = _chat(request), await read(request, ChatChange)
    view = await service.change(request.app[DATABASE], me(request), chat_id, wanted)
    return reply.json(views.chat_as_seen(view))


@routes.delete(CHAT)
async def delete(request: web.Request) -> web.Response:
    await service.delete(request.app[DATABASE], me(request), _chat(request))
    return reply.nothing()


@routes.post(f"{CHAT}/users")
async def join(request: web.Request) -> web.Response:
    chat_id, wanted = _chat(request), await read(request, NewName)
    db, who = request.app[DATABASE], request.get(IDENTITY)
    user_id = await members.join(db, who, chat_id, wanted.user_name, caller_of(request))
    return reply.json({"user_id": str(user_id)}, status=201, headers=reply.PRIVATE)


@routes.get(f"{CHAT}/members")
async def list_members(request: web.Request) -> web.Response:
    given = paging.query(request, ("limit", "from"))
    limit = paging.whole_number(given, "limit", PAGE, least=1, most=LONGEST_PAGE_OF_MEMBERS)
    after = paging.whole_number(given, "from", 0, least=0, most=MAX_ID)
    page = await members.page(request.app[DATABASE], request.get(IDENTITY), _chat(request), after=after, limit=limit)
    found = [views.member(one) for one in page.members]
    return reply.fresh(request, {"members": found, "next": {"iterator": views.id_text(page.next)}})


@routes.post(f"{CHAT}/members")
async def add_members(request: web.Request) -> web.Response:
    chat_id, wanted = _chat(request), await read(request, NewMembers)
    db, chosen = request.app[DATABASE], people(wanted.user_ids)
    added = await members.add(db, me(request), chat_id, chosen, caller_of(request))
    return reply.json({"members": [views.member(one) for one in added]}, status=201)


@routes.patch(f"{CHAT}/members/{{user_id}}")
async def change_role(request: web.Request) -> web.Response:
    chat_id, person, wanted = _chat(request), _person(request), await read(request, NewRole)
    db = request.app[DATABASE]
    member = await members.change_role(db, me(request), chat_id, person, wanted.role, caller_of(request))
    return reply.json(views.member(member))


@routes.delete(f"{CHAT}/members/{{user_id}}")
async def remove(request: web.Request) -> web.Response:
    db, chat_id, person = request.app[DATABASE], _chat(request), _person(request)
    await members.remove(db, me(request), chat_id, person, caller_of(request))
    return reply.nothing()


@routes.post("/v1/groups")
async def create_group(request: web.Request) -> web.Response:
    who, wanted = me(request), await read(request, NewGroup)
    db, chosen = request.app[DATABASE], people(wanted.participant_user_ids)
    group = await service.create_group(db, who, wanted.title, chosen, caller_of(request))
    return reply.json(views.group(group), status=201)


@routes.get("/v1/groups/{group_id}")
async def show_group(request: web.Request) -> web.Response:
    group_id = paging.path_id(request, "group_id", GroupNotFound)
    return reply.fresh(
        request, views.group(await service.group(request.app[DATABASE], request.get(IDENTITY), group_id))
    )


@routes.post("/v1/users/{user_id}/chat")
async def open_direct(request: web.Request) -> web.Response:
    opened = await service.open_direct(request.app[DATABASE], me(request), _person(request))
    return reply.json({"chat_id": str(opened.chat_id)}, status=201 if opened.is_new else 200)


def _chat(request: web.Request) -> int:
    return paging.path_id(request, "chat_id", ChatNotFound)


def _person(request: web.Request) -> UserId:
    """`me` is I."""
    if request.match_info["user_id"] == "me":
        return me(request).user_id
    return UserId(paging.path_id(request, "user_id", UserNotFound))


def _position(given: dict[str, str]) -> ListPosition | None:
    if "from" not in given:
        return None
    found = ITERATOR.fullmatch(given["from"])
    if found is None or max(int(found[1]), int(found[2])) > MAX_ID:
        raise paging.bad_parameter("from", "is not an iterator of this list")
    return ListPosition(int(found[1]), int(found[2]))
