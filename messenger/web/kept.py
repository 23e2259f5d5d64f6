"""Answers that are given again before routes, middlewares and handlers: to the same request, while they still hold.

The same request: every byte of its head but an id, from the same address, so the same credential. It still waits at the
read barrier, costs a token, has an id, a line in the log and a count; head and body are then written at once. A handler
says `keep`, and what its answer depends on beside the person who asks. It may also say how to `read` the answer to
another query at the same path: then the head is given again, and the body is read anew. Every other request takes the
long way, and so does one that cannot be read: there it is said why.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from aiohttp import HttpVersion, hdrs, web

from messenger.db.connection import ConnectionLost
from messenger.errors import MessengerError, Quota
from messenger.log.entries import Cursor
from messenger.web import reply
from messenger.web.access import LIMITS, Limit
from messenger.web.app_keys import ARRIVED_AT, BELIEVED_UNTIL, DRAINING, FOLLOWED_TO, IDENTITY, LOG
from messenger.web.clients import address_of
from messenger.web.deadlines import HANDLER_SECONDS
from messenger.web.page_cache import EncodedPage, Seen
from messenger.web.ready import ReadyAnswer, http_date, same_place, same_request
from messenger.web.recording import CLIENT_GONE, Shown, record, request_id_of, route_of

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

MOST, MOST_BYTES, LARGEST = 10_000, 32 << 20, 256 << 10  # answers, all their bytes, and those of one
# A request with one of these may get another answer, or says something to the connection.
UNUSUAL = (
    hdrs.IF_NONE_MATCH, hdrs.IF_MODIFIED_SINCE, hdrs.RANGE, hdrs.EXPECT, hdrs.UPGRADE, hdrs.ORIGIN, hdrs.COOKIE,
    hdrs.CONTENT_LENGTH, hdrs.TRANSFER_ENCODING,
)  # fmt: skip
QUOTA = (reply.RATE_LIMIT_POLICY, reply.RATE_LIMIT, reply.X_LIMIT, reply.X_REMAINING, reply.X_RESET)
VARYING = frozenset(name.lower() for name in (hdrs.DATE, reply.REQUEST_ID, *QUOTA))
SLOTS = {name: b"%%(%b)b" % name.lower().encode() for name in (hdrs.CONTENT_LENGTH, hdrs.ETAG)}  # of a body to be read
OF_BODY = frozenset(name.lower() for name in SLOTS)
OK = 200

Read = Callable[[web.BaseRequest], Awaitable[EncodedPage]]
KEEP: web.RequestKey[tuple[int, Read | None]] = web.RequestKey("keep", tuple)


def keep(request: web.Request, *, chat_id: int = 0, read: Read | None = None) -> None:
    """The answer is the same again as long as the log has no news of the person who asks, and of this chat.

    `read` makes the answer to another query of the same person at the same path. It sees to it that it is not old.
    """
    request[KEEP] = chat_id, read


@dataclass(frozen=True, slots=True)
class Kept:
    head: bytes  # what varies stands in it by name: `%(date)b`
    body: bytes | Read
    shown: Shown
    user_id: int
    chat_id: int | None
    cursor: Cursor  # everything up to here was known when it was made
    until: float  # so long the credential is believed
    limit: Limit | None
    size: int


class KeptAnswers:
    """Of this process. When there are too many, the oldest go first."""

    def __init__(self, root: web.Application) -> None:
        self._root = root
        self._log = root[LOG]
        self._draining = root[DRAINING]
        self._kept: dict[object, Kept] = {}
        self._bytes = 0
        self._seen = Seen()

    def before(self, handle: Handle) -> Handle:
        """`handle` is the long way."""

        def choose(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            kept = self._kept.get(same := same_request(request))
            if kept is None:
                kept = self._kept.get(same := same_place(request))
            return handle(request) if kept is None else self._answer(request, same, kept, handle)

        return choose

    async def _answer(self, request: web.BaseRequest, same: object, kept: Kept, handle: Handle) -> web.StreamResponse:
        began = time.perf_counter()
        request[ARRIVED_AT] = arrived_at = time.monotonic()
        try:
            holds = await self._still_holds(kept, arrived_at)
            found = await self._made(kept, request) if holds else None
        except asyncio.CancelledError:
            record(self._root, kept.shown, request_id_of(request), CLIENT_GONE, began)
            raise
        if not holds:
            self._forget(same)
        if found is None or self._draining.is_set():
            return await handle(request)
        template, body = found
        varying: Mapping[bytes, bytes] = {}
        if kept.limit is not None:
            if not kept.limit.passes(kept.user_id):
                return await handle(request)
            varying = quota_values(kept.limit.quota, *kept.limit.state(kept.user_id))
        request_id = request_id_of(request)
        head = template % {**varying, b"date": http_date().encode(), b"x-request-id": request_id.encode()}
        record(self._root, kept.shown, request_id, OK, began)
        return ReadyAnswer(head + body)

    async def _made(self, kept: Kept, request: web.BaseRequest) -> tuple[bytes, bytes] | None:
        """Head and body; None when there is something else to say."""
        if isinstance(kept.body, bytes):
            return kept.head, kept.body
        if kept.limit is not None and not kept.limit.state(kept.user_id)[0]:
            return None  # who has nothing left is refused before anything is read
        cursor = self._log.followed_to
        try:
            async with asyncio.timeout(HANDLER_SECONDS):
                page = await kept.body(request)
        except (MessengerError, TimeoutError):
            return None
        head = kept.head.replace(SLOTS[hdrs.CONTENT_LENGTH], b"%d" % len(page.body))
        head = head.replace(SLOTS[hdrs.ETAG], reply.weak(page.tag).encode())
        if self._seen.again(same := same_request(request)):
            size = kept.size + len(page.body)
            self._keep(same, replace(kept, head=head, body=page.body, cursor=cursor, size=size))
        return head, page.body

    async def _still_holds(self, kept: Kept, arrived_at: float) -> bool:
        try:
            await self._log.barrier(arrived_at)
        except ConnectionLost:
            return False
        return self._holds(kept)

    def _holds(self, kept: Kept) -> bool:
        chat_id = kept.chat_id if isinstance(kept.body, bytes) else None
        return (
            time.monotonic() < kept.until
            and self._log.is_quiet(kept.cursor, chat_id=chat_id, user_id=kept.user_id)
            and not self._draining.is_set()
        )

    async def look(self, request: web.Request, answer: web.StreamResponse) -> None:
        """At every answer, when its head is complete."""
        marked, until = request.get(KEEP), request.get(BELIEVED_UNTIL)
        if marked is None or until is None or answer.status != OK or not isinstance(answer, web.Response):
            return
        body = answer.body
        if not isinstance(body, bytes) or any(name in request.headers for name in UNUSUAL) or not answer.keep_alive:
            return
        if request.method != hdrs.METH_GET or hdrs.SET_COOKIE in answer.headers:
            return
        chat_id, read = marked
        me = request[IDENTITY].user_id
        limit = self._root[LIMITS].default if reply.RATE_LIMIT in answer.headers else None  # reading is no sending
        shown = Shown(request.method, route_of(request), request.path, me, address_of(request))
        given = sum(len(name) + len(value) for name, value in request.raw_headers)
        kept = Kept(b"", body, shown, me, chat_id or None, request[FOLLOWED_TO], until, limit, given)
        if self._seen.again(same := same_request(request)):
            head = head_of(request.version, answer, VARYING)
            self._keep(same, replace(kept, head=head, size=given + len(head) + len(body)))
        if read is not None and self._seen.again(same := same_place(request)):
            head = head_of(request.version, answer, VARYING | OF_BODY)
            self._keep(same, replace(kept, head=head, body=read, size=given + len(head)))

    def _keep(self, same: object, kept: Kept) -> None:
        self._forget(same)
        if kept.size > LARGEST:
            return
        self._kept[same] = kept
        self._bytes += kept.size
        while len(self._kept) > MOST or self._bytes > MOST_BYTES:
            self._forget(next(iter(self._kept)))

    def _forget(self, same: object) -> None:
        kept = self._kept.pop(same, None)
        if kept is not None:
            self._bytes -= kept.size


def head_of(version: HttpVersion, answer: web.StreamResponse, varying: Collection[str]) -> bytes:
    lines = [f"HTTP/{version.major}.{version.minor} {answer.status} {answer.reason}"]
    for name, value in answer.headers.items():
        known = name.lower()
        lines.append(f"{name}: %({known})b" if known in varying else f"{name}: {value}".replace("%", "%%"))
    return "\r\n".join([*lines, "", ""]).encode()


@lru_cache(maxsize=4096)
def quota_values(quota: Quota, left: int, more_in: int) -> Mapping[bytes, bytes]:
    found = reply.quota_headers(quota, left, more_in)
    return {name.lower().encode(): value.encode() for name, value in found.items()}


KEPT: web.AppKey[KeptAnswers] = web.AppKey("kept", KeptAnswers)


def install(root: web.Application) -> None:
    """After everything that has a say in answers."""
    root[KEPT] = KeptAnswers(root)
    root.on_response_prepare.append(root[KEPT].look)
