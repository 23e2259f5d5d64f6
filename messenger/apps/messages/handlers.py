"""Messages over REST: parse, one call of the service, reply."""

from dataclasses import replace
from functools import partial
from typing import Any

from aiohttp import web

from messenger import synonyms
from messenger.apps.chats.service import guest
from messenger.apps.messages import service
from messenger.apps.messages.history import HISTORY, Anchor, History, PageQuery
from messenger.apps.messages.schemas import Edit, NewMessage, Outgoing, ReadMark
from messenger.apps.messages.sending import SENDER, Sent
from messenger.errors import BadParameters, ChatNotFound, Flaw, GroupNotFound, MessageNotFound, UserNotFound
from messenger.identity import MAX_ID, Identity, UserId
from messenger.web import paging, reply
from messenger.web.access import charged, me, rechecked
from messenger.web.app_keys import ARRIVED_AT, DATABASE, IDENTITY
from messenger.web.body import convert, parse, read, read_bytes
from messenger.web.kept import keep
from messenger.web.page_cache import EncodedPage

PAGE = 1000
PLACES = ("from", "before", "after", "around", "anchor")
PAGE_QUERY = ("limit", *PLACES, "num_before", "num_after", "read_cursors")
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
    read = partial(read_page, request.app[HISTORY], request.get(IDENTITY), chat_id)
    page = await read(request)
    keep(request, chat_id=chat_id, read=read)
    return reply.fresh_bytes(request, page.body, page.tag)


async def read_page(pages: History, me: Identity | None, chat_id: int, request: web.BaseRequest) -> EncodedPage:
    return await pages.page(me, chat_id, read_page_query(paging.query(request, PAGE_QUERY)), request[ARRIVED_AT])


async def history(request: web.Request) -> web.Response:
    chat_id = paging.path_id(request, "chat_id", ChatNotFound)
    given = paging.query(request, ("limit", "offset", "later_that_message_id"))
    limit = paging.whole_number(given, "limit", 50, least=1, most=HISTORY_PAGE)
    offset = paging.whole_number(given, "offset", 0, least=0, most=MAX_ID)
    later = paging.optional_id(given, "later_that_message_id")
    pages, me = request.app[HISTORY], request.get(IDENTITY)
    keep(request, chat_id=chat_id)
    return reply.fresh(request, await pages.offset_page(me, chat_id, later, offset, limit, request[ARRIVED_AT]))


async def edit(request: web.Request) -> web.Response:
    chat_id, message_id = message_path(request)
    words = await read(request, Edit)
    text = one_text(words.message, words.text)
    db, history = request.app[DATABASE], request.app[HISTORY]
    return reply.json(await service.edit(db, history, me(request), chat_id, message_id, text))


async def delete(request: web.Request) -> web.Response:
    await service.delete(request.app[DATABASE], me(request), *message_path(request))
    return reply.nothing()


async def react(request: web.Request) -> web.Response:
    await service.react(request.app[DATABASE], me(request), *message_path(request), read_emoji(request))
    return reply.nothing()


async def unreact(request: web.Request) -> web.Response:
    await service.unreact(request.app[DATABASE], me(request), *message_path(request), read_emoji(request))
    return reply.nothing()


@rechecked
async def mark_chat_read(request: web.Request) -> web.Response:
    chat_id = paging.path_id(request, "chat_id", ChatNotFound)
    mark = await read(request, ReadMark)
    named: tuple[str, int | str] = synonyms.take(message_id=mark.message_id, id=mark.id)
    who, message_id = me(request), int(named[1])
    seq = await service.mark_read(request.app[SENDER], who.user_id, who.session_id, chat_id, message_id)
    return marked(chat_id, seq, message_id)


async def mark_message_read(request: web.Request) -> web.Response:
    message_id = paging.path_id(request, "message_id", MessageNotFound)
    db, sender = request.app[DATABASE], request.app[SENDER]
    return marked(*await service.mark_message_read(db, sender, me(request), message_id), message_id)


def marked(chat_id: int, seq: int, message_id: int) -> web.Response:
    return reply.json({"chat_id": str(chat_id), "message_id": str(message_id), "read_seq": seq})


async def speaker(request: web.Request, chat_id: int) -> tuple[int, int | None]:
    """The sender: me. `user_id` may only repeat that, unless the server is a test rig without sign-in."""
    given = paging.query(request, ("user_id",))
    named = paging.find_id(given["user_id"]) if "user_id" in given else None
    identity = request.get(IDENTITY)
    if identity is None:
        return await guest(request.app[DATABASE], chat_id, named), None
    if "user_id" in given and named != identity.user_id:
        raise UserNotFound
    return identity.user_id, identity.session_id


async def read_outgoing(request: web.Request) -> Outgoing:
    body: dict[str, Any] = parse(await read_bytes(request))
    header = request.headers.get("Idempotency-Key")
    if header is not None:
        if body.get("client_id") not in (None, header):
            raise BadParameters("Idempotency-Key and client_id are the same thing; they differ here.")
        body["client_id"] = header
    sent = convert(body, NewMessage)
    service.check_keys(sent.client_id, sent.operation_id)
    reply_to = int(sent.reply_to) if sent.reply_to is not None else None
    return Outgoing(one_text(sent.message, sent.text), sent.client_id, sent.operation_id, reply_to)


def one_text(message: str | None, text: str | None) -> str:
    """Older clients say `message`, others `text`."""
    word, words = synonyms.take(message=message, text=text)
    return service.check_text(words, f"/{word}")


def read_page_query(given: dict[str, str]) -> PageQuery:
    """At most one place: a number; before, after or around a message; or an anchor with counts or a limit."""
    places = [name for name in PLACES if name in given]
    if len(places) > 1:
        reason = "Give at most one of from, before, after, around and anchor."
        raise BadParameters(reason, flaws=[Flaw(places[1], "is one place too many")])
    if "num_before" in given or "num_after" in given:
        query = read_counts(given)
    elif "limit" in given:
        query = read_limit(given, paging.whole_number(given, "limit", 0, least=1, most=PAGE))
    else:
        raise paging.bad_parameter("limit", "is required")
    if given.get("read_cursors", "true") not in {"true", "false"}:
        raise paging.bad_parameter("read_cursors", "must be true or false")
    return replace(query, has_read_cursors=False) if given.get("read_cursors") == "false" else query


def read_limit(given: dict[str, str], limit: int) -> PageQuery:
    if (message_id := paging.optional_id(given, "before")) is not None:
        return PageQuery.before(message_id, limit)
    if (message_id := paging.optional_id(given, "after")) is not None:
        return PageQuery.after(message_id, limit)
    if (message_id := paging.optional_id(given, "around")) is not None:
        return PageQuery.around("message", message_id, limit)
    if "anchor" not in given or given["anchor"] == "oldest":
        return PageQuery.from_number(paging.whole_number(given, "from", 1, least=0, most=MAX_ID), limit)
    if given["anchor"] == "newest":
        return PageQuery.newest(limit)
    return PageQuery.around(*read_anchor(given), limit)


def read_counts(given: dict[str, str]) -> PageQuery:
    if "limit" in given:
        raise paging.bad_parameter("limit", "is not given beside num_before and num_after")
    if "anchor" not in given:
        raise paging.bad_parameter("anchor", "is required with num_before and num_after")
    before, after = (paging.whole_number(given, name, 0, least=0, most=PAGE) for name in ("num_before", "num_after"))
    if not 1 <= before + after <= PAGE:
        name = "num_before" if "num_before" in given else "num_after"
        raise paging.bad_parameter(name, f"and its counterpart must be from 1 to {PAGE} together")
    if given["anchor"] == "newest":
        return PageQuery.newest(before)
    if given["anchor"] == "oldest":
        return PageQuery.from_number(1, after)
    return PageQuery.counted(*read_anchor(given), before, after)


def read_anchor(given: dict[str, str]) -> tuple[Anchor, int]:
    if given["anchor"] == "first_unread":
        return "first_unread", 0
    message_id = paging.find_id(given["anchor"])
    if message_id is None:
        raise paging.bad_parameter("anchor", "must be newest, oldest, first_unread or the id of a message")
    return "nearest", message_id


def message_path(request: web.Request) -> tuple[int, int]:
    return paging.path_id(request, "chat_id", ChatNotFound), paging.path_id(request, "message_id", MessageNotFound)


def read_emoji(request: web.Request) -> str:
    emoji = request.match_info["emoji"]
    if not 0 < len(emoji) <= 32 or "\x00" in emoji:  # noqa: PLR2004
        raise BadParameters("A reaction is 1 to 32 characters.", flaws=[Flaw("emoji", "is not a reaction")])
    return emoji


def answer(sent: Sent) -> web.Response:
    headers = {"Idempotency-Replayed": "true"} if sent.replayed else {}
    return reply.json(sent.json, status=200 if sent.replayed else 201, headers=headers)


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
