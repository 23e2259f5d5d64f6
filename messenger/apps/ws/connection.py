"""One socket from its upgrade to its close: frames in, answers and events out, in the order of the log."""

import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from messenger.apps.ws import closing, protocol
from messenger.apps.ws.answers import Answers
from messenger.apps.ws.dispatcher import MOST_UNDER_WAY, Commands, Dispatcher
from messenger.apps.ws.resuming import Resuming
from messenger.db.connection import ConnectionLost
from messenger.errors import BadCursor
from messenger.identity import Identity
from messenger.log.entries import Cursor, Entry, Run
from messenger.log.log import Log
from messenger.web.app_keys import REQUEST_ID
from messenger.web.body import BODY_LIMIT
from messenger.web.sockets.closing import SESSION_ENDED
from messenger.web.sockets.frames import framed
from messenger.web.sockets.link import Link
from messenger.web.sockets.links import Links
from messenger.web.sockets.outbox import SMALL

log = logging.getLogger(__name__)

COME_BACK_MS = "1000"


@dataclass(frozen=True, slots=True)
class SocketContext:
    """What all sockets of a process have in common."""

    app: web.Application
    log: Log
    commands: Commands
    links: Links


class SocketConnection:
    """A Sink of the log and the Owner of its link. What an idle socket does not need is made when it is needed."""

    __slots__ = (
        "_answers", "_context", "_cursor", "_dispatcher", "_link", "_request_id", "_resuming", "me", "subscription"
    )  # fmt: skip

    def __init__(self, link: Link, context: SocketContext, request: web.Request, me: Identity, cursor: str) -> None:
        """`cursor`: where its client wants to go on; empty: now."""
        self.me = me
        self._link = link
        self._context = context
        self._request_id = request[REQUEST_ID]
        self._cursor = cursor
        self.subscription = context.log.subscribe(me.user_id, me.session_id, self)
        self._answers: Answers | None = None
        self._resuming: Resuming | None = None
        self._dispatcher: Dispatcher | None = None

    # --- the log's side: a Sink; nothing here waits or raises

    def take(self, entry: Entry) -> None:
        self._link.outbox.put(protocol.of_entry(entry))

    def take_run(self, run: Run) -> None:
        outbox, frames = self._link.outbox, protocol.of_run(run)
        if outbox.is_behind or len(frames) > SMALL:  # its bounds are for frames
            for entry in run.entries:
                outbox.put(protocol.of_entry(entry))
        else:
            outbox.put(frames)

    def take_note(self, note: bytes) -> None:
        if not self._link.outbox.is_behind:  # a slow reader loses notes (who is typing) first
            self._link.outbox.put(framed(note))

    def end(self) -> None:
        self._link.close(SESSION_ENDED)

    def restart(self) -> None:
        self._link.close(closing.DRAINING, "0")

    def _lost(self) -> None:
        """A replay cannot go on; the client resumes from its cursor."""
        self._link.close(closing.DRAINING, COME_BACK_MS)

    # --- the client's side: the Owner of a link

    async def open(self) -> None:
        try:
            head = await self.subscription.attach()
        except ConnectionLost:
            self._lost()
            return
        self._link.outbox.put(protocol.encode_frame(self._hello()))
        self._welcome(head, self._cursor)
        self._cursor = ""

    def hear(self, text: bytes) -> Coroutine[Any, Any, None] | None:
        if self._dispatcher is None:
            app, commands = self._context.app, self._context.commands
            self._dispatcher = Dispatcher(app, self.me, commands, self.subscription, self._answering(), self._replaying)
        return self._dispatcher.handle(text)

    def give_up(self) -> None:
        if self._resuming is not None:
            self._resuming.stop()
        if self._dispatcher is not None:
            self._dispatcher.stop()

    async def ended(self) -> None:
        self.subscription.detach()
        if self._resuming is not None:
            await self._resuming.stopped()
        if self._link.closed_with is not None:
            log.info("closed user=%s code=%s", self.me.user_id, self._link.closed_with.code)

    def _hello(self) -> dict[str, Any]:
        limits = {"frame_bytes": BODY_LIMIT, "under_way": MOST_UNDER_WAY}
        heartbeat_ms = int(self._context.links.pace.heartbeat * 1000)
        return {"type": "hello", "protocol": protocol.NAME, "heartbeat_ms": heartbeat_ms, "limits": limits}

    def _welcome(self, head: int, cursor: str) -> None:
        wanted = Cursor.find(cursor) if cursor else None
        ready = {
            "type": "ready",
            "user": {"user_id": str(self.me.user_id)},
            "session_id": str(self.me.session_id),
            "cursor": cursor if wanted else str(self._context.log.cursor(head)),
            "resumed": wanted is not None,
        }
        self._link.outbox.put(protocol.encode_frame(ready))
        if cursor and wanted is None:
            self._answering().refuse(None, BadCursor())
        if not self._link.is_open:
            self.subscription.detach()  # it has ended before it was attached
        elif wanted is not None or not self.subscription.go_live(head):
            self._replaying().start(wanted, head)

    def _answering(self) -> Answers:
        if self._answers is None:
            self._answers = Answers(self._link.outbox, self._request_id, self._link.close)
        return self._answers

    def _replaying(self) -> Resuming:
        if self._resuming is None:
            refuse = self._answering().refuse
            self._resuming = Resuming(self._context.log, self.subscription, self._link.outbox, refuse, self._lost)
        return self._resuming
