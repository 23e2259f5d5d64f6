"""The routes of older clients: parse, one call, reply in their words."""

from aiohttp import web

from messenger.apps.auth.service import AUTH
from messenger.apps.classic import service, views
from messenger.apps.classic.schemas import ClassicNewGroup, ClassicNewMessage, ClassicRegistration, ClassicSignIn
from messenger.apps.messages.service import HISTORY, SENDER, mark_message_read
from messenger.errors import ChatNotFound, GroupNotFound, MessageNotFound, UserNotFound
from messenger.identity import MAX_ID
from messenger.web import paging, reply
from messenger.web.access import charged, me, public
from messenger.web.app_keys import ARRIVED_AT, DATABASE, IDENTITY
from messenger.web.body import read
from messenger.web.clients import caller_of
from messenger.web.origins import refuse_foreign_page

PAGE, LONGEST_PAGE = 50, 1000
LONGEST_HISTORY = 100
SECRET = {"Cache-Control": "no-store"}  # answers that carry credentials

routes = web.RouteTableDef()


@routes.post("/users/register")
@public
async def register(request: web.Request) -> web.Response:
    refuse_foreign_page(request)
    made = await service.register(request.app[AUTH], await read(request, ClassicRegistration), caller_of(request))
    return reply.json({"id": made.user_id, "email": made.email, "username": made.name}, status=201)


@routes.post("/users/login")
@public
async def sign_in(request: web.Request) -> web.Response:
    refuse_foreign_page(request)
    token = await service.sign_in(request.app[AUTH], await read(request, ClassicSignIn), caller_of(request))
    return reply.json({"access_token": token, "token_type": "bearer"}, headers=SECRET)


@routes.get("/chats/{chat_id}/messages")
async def list_messages(request: web.Request) -> web.Response:
    chat_id = paging.path_id(request, "chat_id", ChatNotFound)
    given = paging.query(request, ("limit", "offset"))
    limit = paging.whole_number(given, "limit", PAGE, least=1, most=LONGEST_PAGE)
    offset = paging.whole_number(given, "offset", 0, least=0, most=MAX_ID)
    found, marks = await service.page(
        request.app[HISTORY], request.get(IDENTITY), chat_id, offset=offset, limit=limit, arrived_at=request[ARRIVED_AT]
    )
    return reply.fresh(
        request,
        {
            "messages": [views.short_message(one) for one in found],
            "read_cursors": [views.read_cursor(mark) for mark in marks],
        },
    )


@routes.get("/history/{chat_id}")
async def history(request: web.Request) -> web.Response:
    chat_id = paging.path_id(request, "chat_id", ChatNotFound)
    given = paging.query(request, ("limit", "offset", "later_that_message_id"))
    found = await service.list_messages(
        request.app[HISTORY],
        request.get(IDENTITY),
        chat_id,
        later_than=paging.optional_id(given, "later_that_message_id"),
        offset=paging.whole_number(given, "offset", 0, least=0, most=MAX_ID),
        limit=paging.whole_number(given, "limit", PAGE, least=1, most=LONGEST_HISTORY),
        arrived_at=request[ARRIVED_AT],
    )
    return reply.fresh(request, [views.message(one) for one in found])


@routes.post("/group")
async def create_group(request: web.Request) -> web.Response:
    who, wanted = me(request), await read(request, ClassicNewGroup)
    db, caller = request.app[DATABASE], caller_of(request)
    made = await service.create_group(db, who, wanted.name, wanted.participant_user_ids, caller)
    return reply.json(views.group(made), status=201)


@routes.post("/messages/user/{user_id}")
@charged("send")
async def send_to_person(request: web.Request) -> web.Response:
    person = paging.path_id(request, "user_id", UserNotFound)
    wanted = await read(request, ClassicNewMessage)
    db, sender = request.app[DATABASE], request.app[SENDER]
    return reply.json(views.message(await service.send_to_person(db, sender, me(request), person, wanted)))


@routes.post("/messages/group/{group_id}")
@charged("send")
async def send_to_group(request: web.Request) -> web.Response:
    group_id = paging.path_id(request, "group_id", GroupNotFound)
    wanted = await read(request, ClassicNewMessage)
    db, sender = request.app[DATABASE], request.app[SENDER]
    return reply.json(views.message(await service.send_to_group(db, sender, me(request), group_id, wanted)))


@routes.post("/messages/read/{message_id}")
async def mark_read(request: web.Request) -> web.Response:
    message_id = paging.path_id(request, "message_id", MessageNotFound)
    await mark_message_read(request.app[DATABASE], request.app[SENDER], me(request), message_id)
    return reply.json({})
