"""Messages over REST: parse, one call of the service, reply."""

from typing import Any

from aiohttp import web

from messenger.apps.messages import service
from messenger.apps.messages.history import HISTORY, Where
from messenger.apps.messages.schemas import Edit, NewMessage, Outgoing, Read
from messenger.apps.messages.sending import SENDER, Sent
from messenger.errors import BadParameters, ChatNotFound, Flaw, GroupNotFound, MessageNotFound, UserNotFound
from messenger.identity import UserId
from messenger.web import paging, reply
from messenger.web.access import charged, me, rechecked
from messenger.web.body import convert, parse, read, read_bytes
from messenger.web.keys import CAME, DATABASE, IDENTITY

PAGE = 1000
HISTORY_PAGE = 100


@charged("send")
@rechecked
async def send(request: web.Request) -> web.Response:
    chat_id = paging.path_id(request, "chat_id", ChatNotFound)
    outgoing = await read_outgoing(request)
    user_id, session_id = await speaker(request, chat_id)
    return answer(await service.send(request.app[SENDER], user_id, session_id, chat_id, outgoing))


@charged("send")
async def send_to_person(request: web.Request) -> web.Response:
    person = paging.path_id(request, "user_id", UserNotFound)
    outgoing = await read_outgoing(request)
    db, sender = request.app[DATABASE], request.app[SENDER]
    return answer(await service.send_to_person(db, sender, me(request), UserId(person), outgoing))


@charged("send")
async def send_to_group(request: web.Request) -> web.Response:
    group_id = paging.path_id(request, "group_id", GroupNotFound)
    outgoing = await read_outgoing(request)
    db, sender = request.app[DATABASE], request.app[SENDER]
    return answer(await service.send_to_group(db, sender, me(request), group_id, outgoing))


async def messages(request: web.Request) -> web.Response:
    chat_id = paging.path_id(request, "chat_id", ChatNotFound)
    given = paging.query(request, ("limit", "from", "before", "after", "around"))
    if "limit" not in given:
        raise paging.bad_parameter("limit", "is required")
    limit = paging.whole_number(given, "limit", 0, least=1, most=PAGE)
    me = request.get(IDENTITY)
    page = await request.app[HISTORY].page(me, chat_id, read_where(given), limit, request[CAME])
    return reply.fresh_bytes(request, page.body, page.tag)


async def history(request: web.Request) -> web.Response:
    chat_id = paging.path_id(request, "chat_id", ChatNotFound)
    given = paging.query(request, ("limit", "offset", "later_that_message_id"))
    limit = paging.whole_number(given, "limit", 50, least=1, most=HISTORY_PAGE)
    offset = paging.whole_number(given, "offset", 0, least=0, most=2**53 - 1)
    later = paging.optional_id(given, "later_that_message_id")
    me, came = request.get(IDENTITY), request[CAME]
    return reply.fresh(request, await request.app[HISTORY].offset_page(me, chat_id, later, offset, limit, came))


async def edit(request: web.Request) -> web.Response:
    chat_id, message_id = place(request)
    words = await read(request, Edit)
    text = one_text(words.message, words.text)
    db, history = request.app[DATABASE], request.app[HISTORY]
    return reply.json(await service.edit(db, history, me(request), chat_id, message_id, text))


async def delete(request: web.Request) -> web.Response:
    await service.delete(request.app[DATABASE], me(request), *place(request))
    return reply.nothing()


async def react(request: web.Request) -> web.Response:
    await service.react(request.app[DATABASE], me(request), *place(request), read_emoji(request))
    return reply.nothing()


async def unreact(request: web.Request) -> web.Response:
    await service.unreact(request.app[DATABASE], me(request), *place(request), read_emoji(request))
    return reply.nothing()


@rechecked
async def mark_chat_read(request: web.Request) -> web.Response:
    chat_id = paging.path_id(request, "chat_id", ChatNotFound)
    mark = await read(request, Read)
    return await mark_read(request, chat_id, int(mark.message_id))


async def mark_message_read(request: web.Request) -> web.Response:
    message_id = paging.path_id(request, "message_id", MessageNotFound)
    chat_id = await service.chat_of(request.app[DATABASE], message_id)
    try:
        return await mark_read(request, chat_id, message_id)
    except ChatNotFound:  # a stranger must not learn that there is such a message
        raise MessageNotFound from None


async def mark_read(request: web.Request, chat_id: int, message_id: int) -> web.Response:
    who = me(request)
    seq = await service.mark_read(request.app[SENDER], who.user_id, who.session_id, chat_id, message_id)
    return reply.json({"chat_id": str(chat_id), "message_id": str(message_id), "read_seq": seq})


async def speaker(request: web.Request, chat_id: int) -> tuple[int, int | None]:
    """Who says it: me; `user_id` may only repeat that, unless there is no sign-in at all."""
    given = paging.query(request, ("user_id",))
    named = paging.find_id(given["user_id"]) if "user_id" in given else None
    identity = request.get(IDENTITY)
    if identity is None:
        return await service.guest(request.app[DATABASE], chat_id, named), None
    if "user_id" in given and named != identity.user_id:
        raise UserNotFound
    return identity.user_id, identity.session_id


async def read_outgoing(request: web.Request) -> Outgoing:
    body: dict[str, Any] = parse(await read_bytes(request))
    header = request.headers.get("Idempotency-Key")
    if header is not None:
        if body.get("client_id") not in {None, header}:
            raise BadParameters("Idempotency-Key and client_id are the same thing; they differ here.")
        body["client_id"] = header
    sent = convert(body, NewMessage)
    service.check_keys(sent.client_id, sent.operation_id)
    reply_to = int(sent.reply_to) if sent.reply_to is not None else None
    return Outgoing(one_text(sent.message, sent.text), sent.client_id, sent.operation_id, reply_to)


def one_text(message: str | None, text: str | None) -> str:
    """Older clients say `message`, others `text`."""
    if message is not None and text is not None and message != text:
        raise BadParameters("message and text are the same thing; they differ here.", flaws=[Flaw("/text", "differs")])
    words = message if message is not None else text
    if words is None:
        raise BadParameters("/message: is required.", flaws=[Flaw("/message", "is required")])
    return service.check_text(words, "/message" if message is not None else "/text")


def read_where(given: dict[str, str]) -> Where:
    if sum(name in given for name in ("from", "before", "after", "around")) > 1:
        raise BadParameters("Give at most one of from, before, after and around.")
    start = paging.whole_number(given, "from", 1, least=0, most=2**53 - 1) if "from" in given else None
    return Where(
        start,
        paging.optional_id(given, "before"),
        paging.optional_id(given, "after"),
        paging.optional_id(given, "around"),
    )


def place(request: web.Request) -> tuple[int, int]:
    return paging.path_id(request, "chat_id", ChatNotFound), paging.path_id(request, "message_id", MessageNotFound)


def read_emoji(request: web.Request) -> str:
    emoji = request.match_info["emoji"]
    if not 0 < len(emoji) <= 32 or "\x00" in emoji:  # noqa: PLR2004
        raise BadParameters("A reaction is 1 to 32 characters.", flaws=[Flaw("emoji", "is not a reaction")])
    return emoji


def answer(sent: Sent) -> web.Response:
    headers = {"Idempotency-Replayed": "true"} if sent.replayed else {}
    return reply.json(sent.message, status=200 if sent.replayed else 201, headers=headers)


routes = [
    web.post("/v1/chats/{chat_id}/messages", send),
    web.post("/v1/messages/user/{user_id}", send_to_person),
    web.post("/v1/messages/group/{group_id}", send_to_group),
    web.get("/v1/chats/{chat_id}/messages", messages),
    web.get("/v1/history/{chat_id}", history),
    web.patch("/v1/chats/{chat_id}/messages/{message_id}", edit),
    web.delete("/v1/chats/{chat_id}/messages/{message_id}", delete),
    web.put("/v1/chats/{chat_id}/messages/{message_id}/reactions/{emoji}", react),
    web.delete("/v1/chats/{chat_id}/messages/{message_id}/reactions/{emoji}", unreact),
    web.post("/v1/chats/{chat_id}/read", mark_chat_read),
    web.post("/v1/messages/read/{message_id}", mark_message_read),
]
