"""GET /v1/events in its three forms: an event stream, lines of JSON, or one answer that waits for news."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from aiohttp import web

from messenger.apps.events.stream import Stream, StreamedEvent, read_cursor
from messenger.errors import BadParameters, Flaw, Unavailable
from messenger.log.entries import Cursor
from messenger.web import paging, quota, reply
from messenger.web.access import me, streaming
from messenger.web.app_keys import DRAINING, LOG

LONGEST_WAIT = 60
ENOUGH_EVENTS, ENOUGH_BYTES = 1000, 1 << 20  # for one answer to a poll; the next one goes on from its cursor
RETRY_MS = 1000

STREAMS: web.AppKey[set[Stream]] = web.AppKey("streams")
KEEPALIVE: web.AppKey[float] = web.AppKey("events_keepalive", float)  # seconds; proxies close what is silent


@dataclass(frozen=True, slots=True)
class Form:
    """How events are written into a response that does not end."""

    content_type: str
    write: Callable[[StreamedEvent], bytes]
    sign_of_life: bytes


@streaming
async def events(request: web.Request) -> web.StreamResponse:
    root, identity = request.app, me(request)
    given = paging.query(request, ("after", "wait", "format"))
    cursor = read_cursor(request.headers.get("Last-Event-ID", given.get("after")))
    wait = paging.whole_number(given, "wait", 0, least=0, most=LONGEST_WAIT)
    name = given.get("format") or ("sse" if "text/event-stream" in request.headers.get("Accept", "") else "")
    if name and name not in FORMS:
        raise BadParameters("format is sse or ndjson.", flaws=[Flaw("format", "is sse or ndjson")])
    if root[DRAINING].is_set():
        raise Unavailable("The server stops.", retry_after=1)
    with quota.ConnectionQuota(root, identity.user_id):
        stream = Stream(root[LOG], identity)
        root[STREAMS].add(stream)
        try:
            return await (pour(request, stream, cursor, FORMS[name]) if name else poll(stream, cursor, wait))
        finally:
            root[STREAMS].discard(stream)


async def pour(request: web.Request, stream: Stream, cursor: Cursor | None, form: Form) -> web.StreamResponse:
    async with stream.opened() as head:
        response = web.StreamResponse(headers={**reply.PRIVATE, "X-Accel-Buffering": "no"})
        response.content_type = form.content_type
        await response.prepare(request)
        if form is SSE:
            # The client knows its cursor before the first event.
            begin = str(cursor or request.app[LOG].cursor(head))
            await response.write(b"retry: %d\nid: %b\n\n" % (RETRY_MS, begin.encode()))
        async with aclosing(stream.missed(cursor, head)) as pages:
            async for page in pages:
                if page:
                    await response.write(b"".join(map(form.write, page)))
        if form is SSE and cursor is not None and stream.over is None:
            # What was left out is passed as well: nobody is told of it again.
            passed = b"".join(map(form.write, stream.waiting()))
            await response.write(passed + b"id: %b\n\n" % stream.cursor.encode())
        while (batch := await stream.next_batch(request.app[KEEPALIVE])) is not None:
            await response.write(b"".join(map(form.write, batch)) or form.sign_of_life)
    return response


async def poll(stream: Stream, cursor: Cursor | None, wait: int) -> web.Response:
    async with stream.opened() as head:
        found: list[StreamedEvent] = []
        async with aclosing(stream.missed(cursor, head)) as pages:
            async for page in pages:
                found += page
                if len(found) >= ENOUGH_EVENTS or sum(len(event.words) for event in found) >= ENOUGH_BYTES:
                    break
        if not found and wait:
            found = await stream.next_batch(wait) or []
        found += stream.waiting()
        if stream.over is not None and not found:
            raise stream.over
        # Once it is over, only the events handed out are certain: the log may have begun anew elsewhere.
        now = stream.cursor if stream.over is None else found[-1].cursor
    body = b'{"events":[%b],"cursor":"%b"}' % (b",".join(event.words for event in found), now.encode())
    return web.Response(body=body, content_type="application/json", headers=reply.PRIVATE)


def as_sse(event: StreamedEvent) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event.cursor.encode(), event.kind.encode(), event.words)


def as_line(event: StreamedEvent) -> bytes:
    return event.words + b"\n"


SSE = Form("text/event-stream", as_sse, b": still here\n\n")
FORMS = {"sse": SSE, "ndjson": Form("application/x-ndjson", as_line, b"\n")}


async def context(root: web.Application) -> AsyncIterator[None]:
    root[STREAMS] = set()
    yield


async def drain(root: web.Application) -> None:
    streams = root[STREAMS]
    for stream in tuple(streams):
        stream.restart()


def setup(root: web.Application) -> None:
    quota.setup(root)
    root[KEEPALIVE] = 15.0
    root.on_shutdown.append(drain)


routes = [web.get("/v1/events", events, allow_head=False)]
