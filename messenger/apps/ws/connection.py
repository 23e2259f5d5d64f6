"""One socket from its upgrade to its close: frames in, answers and events out, in the order of the log."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from messenger.apps.ws import closing, protocol
from messenger.apps.ws.answers import Answers
from messenger.apps.ws.dispatcher import MOST_UNDER_WAY, Command, Dispatcher
from messenger.apps.ws.resuming import Resuming
from messenger.db.connection import ConnectionLost
from messenger.errors import BadCursor
from messenger.identity import Identity
from messenger.log.entries import Cursor, Entry
from messenger.log.log import Log
from messenger.web.access import Limit
from messenger.web.app_keys import REQUEST_ID
from messenger.web.body import BODY_LIMIT
from messenger.web.sockets.closing import SESSION_ENDED, Closing
from messenger.web.sockets.frames import framed
from messenger.web.sockets.link import Link, Pace
from messenger.web.sockets.outbox import Post
from messenger.web.sockets.upgrade import Socket

log = logging.getLogger(__name__)

COME_BACK_MS = "1000"


@dataclass(frozen=True, slots=True)
class SocketContext:
    """What all sockets of a process have in common."""

    log: Log
    commands: Mapping[str, Command]
    pace: Pace
    post: Post
    limit: Limit | None  # of everything but messages, which are charged where all of them meet


class SocketConnection:
    __slots__ = (
        "__weakref__", "_answers", "_dispatcher", "_heartbeat", "_link", "_log", "_outbox", "_resuming", "me",
        "subscription",
    )  # fmt: skip

    def __init__(self, request: web.Request, socket: Socket, me: Identity, context: SocketContext) -> None:
        self.me = me
        self._log = context.log
        self._heartbeat = context.pace.heartbeat
        self._link = Link(request, socket, context.post, context.pace, self._gives_up)
        self._outbox = self._link.outbox
        self._answers = Answers(self._outbox, request[REQUEST_ID], self.close)
        self.subscription = self._log.subscribe(me.user_id, me.session_id, self)
        self._resuming = Resuming(self._log, self.subscription, self._outbox, self._answers.refuse, self._lost)
        self._dispatcher = Dispatcher(
            request.app,
            me,
            self.subscription,
            self._resuming,
            self._answers,
            commands=context.commands,
            limit=context.limit,
            seconds=context.pace.command,
        )

    # --- the log's side: a Sink; nothing here waits or raises

    def take(self, entry: Entry) -> None:
        self._outbox.put(protocol.of_entry(entry))

    def take_note(self, note: bytes) -> None:
        if not self._outbox.is_behind:  # a slow reader loses notes (who is typing) first
            self._outbox.put(framed(note))

    def end(self) -> None:
        self.close(SESSION_ENDED)

    def restart(self) -> None:
        self.close(closing.DRAINING, "0")

    def _lost(self) -> None:
        """A replay cannot go on; the client resumes from its cursor."""
        self.close(closing.DRAINING, COME_BACK_MS)

    def close(self, why: Closing, reason: str = "") -> None:
        self._link.close(why, reason)

    @property
    def closed_with(self) -> Closing | None:
        return self._link.closed_with

    def _gives_up(self) -> None:
        self._resuming.stop()
        self._dispatcher.stop()

    # --- the client's side

    async def run(self, cursor: str | None) -> None:
        self._link.start()
        try:
            head = await self.subscription.attach()
            self._outbox.put(protocol.encode_frame(self._hello()))
            self._welcome(head, cursor)
            while (raw := await self._link.next_text()) is not None:
                await self._dispatcher.handle(raw)
        except ConnectionLost:
            self._lost()
        finally:
            self.subscription.detach()
            self._link.stop()
            await self._resuming.stopped()
            await self._link.ended()
            if self.closed_with is not None:
                log.info("closed user=%s code=%s", self.me.user_id, self.closed_with.code)

    def _hello(self) -> dict[str, Any]:
        limits = {"frame_bytes": BODY_LIMIT, "under_way": MOST_UNDER_WAY}
        heartbeat_ms = int(self._heartbeat * 1000)
        return {"type": "hello", "protocol": protocol.NAME, "heartbeat_ms": heartbeat_ms, "limits": limits}

    def _welcome(self, head: int, cursor: str | None) -> None:
        wanted = Cursor.find(cursor) if cursor else None
        ready = {
            "type": "ready",
            "user": {"user_id": str(self.me.user_id)},
            "session_id": str(self.me.session_id),
            "cursor": cursor if wanted else str(self._log.cursor(head)),
            "resumed": wanted is not None,
        }
        self._outbox.put(protocol.encode_frame(ready))
        if cursor and wanted is None:
            self._answers.refuse(None, BadCursor())
        if self.closed_with is None:
            self._resuming.start(wanted, head)
