"""One older socket from its upgrade to its close: entries of the log as its frames, its frames to the services."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from messenger.apps.classic import closing, service, views
from messenger.apps.classic.receipts import Receipts
from messenger.apps.classic.schemas import unknown, verb_of
from messenger.apps.messages.service import HISTORY
from messenger.db.connection import ConnectionLost
from messenger.errors import InternalError, MessengerError, TooManyRequests, Unavailable
from messenger.identity import Identity
from messenger.log.entries import Entry
from messenger.log.log import Log
from messenger.web.access import Limit, action_of
from messenger.web.body import parse
from messenger.web.sockets.closing import RATE_LIMITED, SESSION_ENDED, Closing
from messenger.web.sockets.link import Link, Pace
from messenger.web.sockets.outbox import Post
from messenger.web.sockets.refusals import Refusals
from messenger.web.sockets.upgrade import Socket

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClassicCall:
    """The person whose socket a frame came from, and the chat if it is the socket of one chat."""

    root: web.Application
    me: Identity
    chat_id: int


Verb = Callable[[ClassicCall, dict[str, Any]], Awaitable[None]]


class Dialect:
    """The frames of one kind of socket. Keeps the last frame, which all sockets of a process are sent in one turn."""

    def __init__(
        self,
        *,
        field: str,
        verbs: Mapping[str, Verb],
        render: Callable[[views.NamedMessage], bytes],
        receipts: str,
        echoes_rest: bool,
    ) -> None:
        """`field`: the field with the verb of a frame; `receipts`: the kind of entry whose receipts authors get."""
        self.field = field
        self.verbs = verbs
        self.receipts = receipts
        self._render = render
        self._echoes_rest = echoes_rest
        self._last: tuple[Entry, bytes] | None = None

    def frame(self, entry: Entry) -> bytes:
        if self._last is None or self._last[0] is not entry:
            self._last = entry, self._render(views.NamedMessage.by(entry))
        return self._last[1]

    def is_told(self, entry: Entry, me: int) -> bool:
        """A client of one chat shows its own REST messages itself, so it does not get them."""
        return self._echoes_rest or entry.actor_id != me or not service.was_sent_by_rest(entry.key)


@dataclass(frozen=True, slots=True)
class ClassicContext:
    """What all older sockets of a process have in common."""

    log: Log
    pace: Pace
    post: Post
    limit: Limit | None  # of everything but messages, which are charged where all of them meet


class ClassicConnection:
    __slots__ = (
        "_after", "_asker", "_dialect", "_limit", "_link", "_log", "_only", "_outbox", "_pace", "_receipts",
        "_refusals", "subscription",
    )  # fmt: skip

    def __init__(
        self,
        request: web.Request,
        socket: Socket,
        me: Identity,
        context: ClassicContext,
        dialect: Dialect,
        chat_id: int | None,
        *,
        after: int,
    ) -> None:
        """`chat_id`: the only one that is heard; None: all of mine. `after`: where the log stood when it was opened."""
        self._only = chat_id
        self._after = after
        self._asker = ClassicCall(request.app, me, chat_id or 0)
        self._dialect = dialect
        self._log = context.log
        self._pace = context.pace
        self._limit = context.limit
        self._refusals = Refusals()
        self._link = Link(request, socket, context.post, context.pace, lambda: None)
        self._outbox = self._link.outbox
        self.subscription = self._log.subscribe(me.user_id, me.session_id, self)
        look = partial(request.app[HISTORY].own, me.user_id)
        self._receipts = Receipts(look, self._outbox, self._is_in, self.close)

    # --- the log's side: a Sink; nothing here waits or raises

    def take(self, entry: Entry) -> None:
        mine = self._asker.me.user_id
        if self._only not in {None, entry.chat_id}:
            return
        if entry.kind == "new_message":
            if self._dialect.is_told(entry, mine):
                self._outbox.put(self._dialect.frame(entry))
        elif entry.kind == self._dialect.receipts:
            self._receipts.add(entry, mine)
        elif self._only is not None and is_the_end(entry, mine):
            self.close(closing.NOT_A_MEMBER)

    def take_note(self, note: bytes) -> None:
        """Older clients know nothing of typing."""

    def end(self) -> None:
        self.close(SESSION_ENDED)

    def restart(self) -> None:
        self.close(closing.GOING_AWAY)

    def close(self, why: Closing) -> None:
        self._link.close(why)

    def _is_in(self, chat_id: int) -> bool:
        return self._log.hub.is_listening(self.subscription, chat_id)

    # --- the client's side

    async def run(self) -> None:
        self._link.start()
        try:
            await self._join()
            while self._link.closed_with is None and (raw := await self._link.next_text()) is not None:
                await self._handle(raw)
        except ConnectionLost:
            self.close(closing.GOING_AWAY)
        finally:
            self.subscription.detach()
            self._link.stop()
            await self._receipts.stopped()
            await self._link.ended()
            if self._link.closed_with is not None:
                log.info("closed user=%s code=%s", self._asker.me.user_id, self._link.closed_with.code)

    async def _join(self) -> None:
        """Hears what is said from its opening on; what was said before is in the history."""
        await self.subscription.attach()
        if self._only is not None and not self._is_in(self._only):
            self.close(closing.NOT_A_MEMBER)
            return
        async with aclosing(self.subscription.catch_up(self._after)) as pages:
            async for page in pages:
                for entry in page:
                    if entry.event:
                        self.take(entry)

    async def _handle(self, raw: bytes) -> None:
        """One frame after the other; what is refused leaves the socket open."""
        is_charged = False
        try:
            frame = parse(raw)
            verb = verb_of(frame, self._dialect.field)
            run = self._dialect.verbs.get(verb)
            if run is None:
                raise unknown(self._dialect.field, verb)
            if action_of(run) != "send":
                is_charged = True
                await self._charge()
            async with asyncio.timeout(self._pace.command):
                await run(self._asker, frame)
        except MessengerError as refusal:
            self._refuse(refusal if is_charged else await self._charged(refusal))
        except TimeoutError:
            self._refuse(Unavailable("This took too long; whether it was done is not known."))
        except Exception:
            log.exception("a frame failed user=%s", self._asker.me.user_id)
            self._refuse(InternalError())

    async def _charge(self) -> None:
        if self._limit is not None:
            await self._limit.enter(self._asker.me.user_id)

    async def _charged(self, refusal: MessengerError) -> MessengerError:
        """A frame that is refused before it cost anything, as a send without text, costs as much as any other."""
        if isinstance(refusal, TooManyRequests) or refusal.status >= InternalError.status:
            return refusal
        try:
            await self._charge()
        except TooManyRequests as error:
            return error
        return refusal

    def _refuse(self, refusal: MessengerError) -> None:
        self._outbox.put(views.error(refusal))
        if isinstance(refusal, TooManyRequests) and self._refusals.note():
            self.close(RATE_LIMITED)


def is_the_end(entry: Entry, me: int) -> bool:
    """After this entry I get nothing more of the chat."""
    return entry.kind == "chat_deleted" or (entry.kind == "member_removed" and entry.user_id == me)
