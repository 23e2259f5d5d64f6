"""Search over REST: parse, one call of the service, reply."""

import re
from contextlib import suppress
from datetime import UTC, datetime

from aiohttp import web

from messenger.apps.messages import service as messages
from messenger.apps.search import service, tasks
from messenger.apps.search.engines import Engine
from messenger.apps.search.index import INDEX
from messenger.apps.search.results import Results
from messenger.apps.search.schemas import LONGEST, NewSearch, PageEnd, SearchRequest
from messenger.errors import BadCursor, TaskNotFound
from messenger.identity import MAX_ID
from messenger.web import paging, reply
from messenger.web.app_keys import DATABASE, IDENTITY
from messenger.web.body import read

ENGINE: web.AppKey[Engine] = web.AppKey("search_engine")
RESULTS: web.AppKey[Results] = web.AppKey("search_results")

PAGE, LONGEST_PAGE = 20, 100
TASK_PAGE = 1000
PAGE_END = re.compile(r"([0-9](?:\.[0-9]{1,20})?(?:e-[0-9]{2})?)~([1-9][0-9]{0,15})", re.ASCII)
ASKED = ("q", "chat_id", "sender_id", "since", "until", "order", "limit", "from")


async def search(request: web.Request) -> web.Response:
    asked = read_request(paging.query(request, ASKED))
    db, show = request.app[DATABASE], request.app[messages.HISTORY].current
    page = await service.search(db, request.app[INDEX], show, request.get(IDENTITY), asked)
    iterator = f"{page.next.rank!r}~{page.next.message_id}" if page.next is not None else None
    answer = {
        "hits": page.hits,
        "next": {"iterator": iterator},
        "has_more": page.next is not None,
        "complete": page.is_complete,
    }
    return reply.json(answer, headers=reply.PRIVATE)


async def start(request: web.Request) -> web.Response:
    words = tasks.check_words((await read(request, NewSearch)).message)
    task_id = await tasks.add(request.app[DATABASE], request.get(IDENTITY), words)
    await request.app[ENGINE].submit(task_id)
    return reply.json({"task_id": str(task_id)}, status=201, headers=reply.PRIVATE)


async def status(request: web.Request) -> web.Response:
    task_id = paging.path_id(request, "task_id", TaskNotFound)
    task = await tasks.status(request.app[DATABASE], request.get(IDENTITY), task_id)
    answer = {"status": task.status, "progress": task.progress, "complete": task.is_complete}
    return reply.json(answer, headers=reply.PRIVATE)


async def fetch(request: web.Request) -> web.Response:
    task_id = paging.path_id(request, "task_id", TaskNotFound)
    given = paging.query(request, ("limit", "from"))
    if "limit" not in given:
        raise paging.bad_parameter("limit", "is required")
    limit = paging.whole_number(given, "limit", 0, least=1, most=TASK_PAGE)
    first = paging.whole_number(given, "from", 1, least=0, most=MAX_ID)
    db, results, show = request.app[DATABASE], request.app[RESULTS], request.app[messages.HISTORY].current
    page = await tasks.fetch(db, results, show, request.get(IDENTITY), task_id, start=first, limit=limit)
    answer = {"messages": page.hits, "next": {"iterator": str(page.next)}, "complete": page.is_complete}
    return reply.json(answer, headers=reply.PRIVATE)


def read_request(given: dict[str, str]) -> SearchRequest:
    order = given.get("order", "rank")
    if order not in {"rank", "recent"}:
        raise paging.bad_parameter("order", "is rank or recent")
    return SearchRequest(
        limit=paging.whole_number(given, "limit", PAGE, least=1, most=LONGEST_PAGE),
        order="rank" if order == "rank" else "recent",
        chat_id=paging.optional_id(given, "chat_id"),
        sender_id=paging.optional_id(given, "sender_id"),
        since=read_moment(given, "since"),
        until=read_moment(given, "until"),
        after=read_page_end(given),
        q=read_question(given),
    )


def read_question(given: dict[str, str]) -> str:
    q = given.get("q", "")
    if not q.strip():
        raise paging.bad_parameter("q", "is required")
    if len(q) > LONGEST:
        raise paging.bad_parameter("q", f"must have at most {LONGEST} characters")
    return q


def read_moment(given: dict[str, str], name: str) -> datetime | None:
    if name not in given:
        return None
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(given[name])
        if moment.tzinfo is not None and "T" in given[name]:
            return moment.astimezone(UTC)
    raise paging.bad_parameter(name, "is not a time like 2026-11-21T09:30:00Z")


def read_page_end(given: dict[str, str]) -> PageEnd | None:
    if "from" not in given:
        return None
    found = PAGE_END.fullmatch(given["from"])
    if found is None or int(found[2]) > MAX_ID:
        raise BadCursor
    return PageEnd(float(found[1]), int(found[2]))


routes = [
    web.get("/v1/search", search),
    web.post("/v1/chats/search", start),
    web.get("/v1/chats/search/status/{task_id}", status),
    web.get("/v1/chats/search/{task_id}/messages", fetch),
]
