"""One older socket from its upgrade to its close: entries of the log as its frames, its frames to the services."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
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
from messenger.log.entries import Entry, Run
from messenger.log.log import Log
from messenger.web.access import Limit, action_of
from messenger.web.body import parse
from messenger.web.sockets.closing import RATE_LIMITED, SESSION_ENDED
from messenger.web.sockets.link import Link
from messenger.web.sockets.links import Links
from messenger.web.sockets.refusals import Refusals

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClassicCall:
    """The person whose socket a frame came from, and the chat if it is the socket of one chat."""

    root: web.Application
    me: Identity
    chat_id: int


Verb = Callable[[ClassicCall, dict[str, Any]], Awaitable[None]]


class Dialect:
    """The frames of one kind of socket. Keeps the last ones, which all sockets of a process are sent in one turn."""

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
        self._last_run: tuple[Run, Sequence[bytes]] | None = None

    def frame(self, entry: Entry) -> bytes:
        if self._last is None or self._last[0] is not entry:
            self._last = entry, self._render(views.NamedMessage.by(entry))
        return self._last[1]

    def frames(self, run: Run) -> Sequence[bytes]:
        if self._last_run is None or self._last_run[0] is not run:
            self._last_run = run, [self.frame(entry) for entry in run.entries]
        return self._last_run[1]

    def is_told(self, entry: Entry, me: int) -> bool:
        """A client of one chat shows its own REST messages itself, so it does not get them."""
        return self._echoes_rest or entry.actor_id != me or not service.was_sent_by_rest(entry.key)


@dataclass(frozen=True, slots=True)
class ClassicContext:
    """What all older sockets of a process have in common."""

    log: Log
    links: Links
    limit: Limit | None  # of everything but messages, which are charged where all of them meet


class ClassicConnection:
    """A Sink of the log and the Owner of its link."""

    __slots__ = (
        "_after", "_asker", "_context", "_dialect", "_link", "_only", "_receipts", "_refusals", "subscription"
    )  # fmt: skip

    def __init__(
        self,
        link: Link,
        root: web.Application,
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
        self._asker = ClassicCall(root, me, chat_id or 0)
        self._dialect = dialect
        self._context = context
        self._link = link
        self.subscription = context.log.subscribe(me.user_id, me.session_id, self)
        self._refusals: Refusals | None = None
        self._receipts: Receipts | None = None

    # --- the log's side: a Sink; nothing here waits or raises

    def take(self, entry: Entry) -> None:
        mine = self._asker.me.user_id
        if self._only not in {None, entry.chat_id}:
            return
        if entry.kind == "new_message":
            if self._dialect.is_told(entry, mine):
                self._link.outbox.put(self._dialect.frame(entry))
        elif entry.kind == self._dialect.receipts:
            self._add_receipt(entry)
        elif self._only is not None and is_the_end(entry, mine):
            self._link.close(closing.NOT_A_MEMBER)

    def take_run(self, run: Run) -> None:
        if self._only in {None, run.entries[0].chat_id}:
            for entry, frame in zip(run.entries, self._dialect.frames(run), strict=True):
                if self._dialect.is_told(entry, self._asker.me.user_id):
                    self._link.outbox.put(frame)

    def take_note(self, note: bytes) -> None:
        """Older clients know nothing of typing."""

    def end(self) -> None:
        self._link.close(SESSION_ENDED)

    def restart(self) -> None:
        self._link.close(closing.GOING_AWAY)

    def _add_receipt(self, entry: Entry) -> None:
        mine = self._asker.me.user_id
        if self._receipts is None:
            look = partial(self._asker.root[HISTORY].own, mine)
            self._receipts = Receipts(look, self._link.outbox, self._is_in, self._link.close)
        self._receipts.add(entry, mine)

    def _is_in(self, chat_id: int) -> bool:
        return self._context.log.hub.is_listening(self.subscription, chat_id)

    # --- the client's side: the Owner of a link

    async def open(self) -> None:
        try:
            await self._join()
        except ConnectionLost:
            self._link.close(closing.GOING_AWAY)
        if not self._link.is_open:
            self.subscription.detach()

    def hear(self, text: bytes) -> Coroutine[Any, Any, None]:
        return self._handle(text)

    def give_up(self) -> None:
        if self._receipts is not None:
            self._receipts.stop()

    async def ended(self) -> None:
        self.subscription.detach()
        if self._receipts is not None:
            await self._receipts.stopped()
        if self._link.closed_with is not None:
            log.info("closed user=%s code=%s", self._asker.me.user_id, self._link.closed_with.code)

    async def _join(self) -> None:
        """Hears what is said from its opening on; what was said before is in the history."""
        await self.subscription.attach()
        if self._only is not None and not self._is_in(self._only):
            self._link.close(closing.NOT_A_MEMBER)
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
            async with asyncio.timeout(self._context.links.pace.command):
                await run(self._asker, frame)
        except MessengerError as refusal:
            self._refuse(refusal if is_charged else await self._charged(refusal))
        except TimeoutError:
            self._refuse(Unavailable("This took too long; whether it was done is not known."))
        except Exception:
            log.exception("a frame failed user=%s", self._asker.me.user_id)
            self._refuse(InternalError())

    async def _charge(self) -> None:
        if self._context.limit is not None:
            await self._context.limit.enter(self._asker.me.user_id)

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
        self._link.outbox.put(views.error(refusal))
        if isinstance(refusal, TooManyRequests):
            self._refusals = self._refusals or Refusals()
            if self._refusals.note():
                self._link.close(RATE_LIMITED)


def is_the_end(entry: Entry, me: int) -> bool:
    """After this entry I get nothing more of the chat."""
    return entry.kind == "chat_deleted" or (entry.kind == "member_removed" and entry.user_id == me)
