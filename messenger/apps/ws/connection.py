"""One socket from its upgrade to its close: frames in, answers and events out, in the order of the log."""

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from messenger.apps.ws import closing, protocol
from messenger.apps.ws.resuming import Resuming
from messenger.errors import BadCursor, InternalError, MessengerError, TooManyRequests, Unavailable
from messenger.identity import Identity
from messenger.log.entries import Cursor, Entry
from messenger.log.follow import Log
from messenger.log.line import LineLost
from messenger.web.access import action_of
from messenger.web.body import BODY_LIMIT
from messenger.web.call import Call
from messenger.web.keys import REQUEST_ID
from messenger.web.sockets.closing import RATE_LIMITED, SESSION_ENDED, Closing
from messenger.web.sockets.frames import framed
from messenger.web.sockets.link import Link, Pace
from messenger.web.sockets.outbox import Post
from messenger.web.sockets.refusals import Refusals
from messenger.web.sockets.upgrade import Socket

if TYPE_CHECKING:
    from messenger.apps.throttling.limits import Limit

log = logging.getLogger(__name__)

MOST_UNDER_WAY = 100  # sends of one socket that wait for their batch
MOST_MALFORMED = 10
MINUTE = 60.0
COME_BACK_MS = "1000"


@dataclass(frozen=True, slots=True)
class Command:
    """A verb's function. One that `waits` returns its result; the others answer later by themselves, from a batch."""

    run: Callable[[Call], Any]
    waits: bool
    action: str  # that it is limited as

    @classmethod
    def of(cls, function: Callable[[Call], Any]) -> "Command":
        return cls(function, inspect.iscoroutinefunction(function), action_of(function))


@dataclass(frozen=True, slots=True)
class Switchboard:
    """What all sockets of a process have in common."""

    log: Log
    commands: Mapping[str, Command]
    pace: Pace
    post: Post
    limit: "Limit | None"  # of everything but messages, which are charged where all of them meet


class Connection:
    __slots__ = (
        "__weakref__", "_commands", "_limit", "_link", "_malformed", "_outbox", "_pace", "_refusals", "_request_id",
        "_resuming", "_settled", "_stream", "_under_way", "app", "me", "subscription",
    )  # fmt: skip

    def __init__(self, request: web.Request, socket: Socket, me: Identity, switchboard: Switchboard) -> None:
        self.app = request.app
        self.me = me
        self._request_id = request[REQUEST_ID]  # of the upgrade: finds this socket in the log
        self._stream = switchboard.log
        self._commands = switchboard.commands
        self._pace = switchboard.pace
        self._limit = switchboard.limit
        self._link = Link(request, socket, switchboard.post, self._pace, self._gives_up)
        self._outbox = self._link.outbox
        self.subscription = self._stream.subscribe(me.user_id, me.session_id, self)
        self._resuming = Resuming(self._stream, self.subscription, self._outbox, self._refuse, self._lost)
        self._under_way = 0
        self._settled: asyncio.Event | None = None  # while somebody waits for it
        self._malformed: Sequence[float] = ()  # when the last ones came
        self._refusals: Refusals | None = None

    # --- the log's side: a Sink; nothing here waits or raises

    def take(self, entry: Entry) -> None:
        self._outbox.put(protocol.of_entry(entry))

    def take_note(self, note: bytes) -> None:
        if not self._outbox.is_behind:  # who types is the first thing a slow reader can do without
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
        self._wake()

    # --- the client's side

    async def run(self, cursor: str | None) -> None:
        self._link.start()
        try:
            head = await self.subscription.attach()
            self._outbox.put(protocol.of(self._hello()))
            self._welcome(head, cursor)
            await self._read()
        except LineLost:
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
        heartbeat_ms = int(self._pace.heartbeat * 1000)
        return {"type": "hello", "protocol": protocol.NAME, "heartbeat_ms": heartbeat_ms, "limits": limits}

    def _welcome(self, head: int, cursor: str | None) -> None:
        wanted = Cursor.find(cursor) if cursor else None
        ready = {
            "type": "ready",
            "user": {"user_id": str(self.me.user_id)},
            "session_id": str(self.me.session_id),
            "cursor": cursor if wanted else str(self._stream.cursor(head)),
            "resumed": wanted is not None,
        }
        self._outbox.put(protocol.of(ready))
        if cursor and wanted is None:
            self._refuse(None, BadCursor())
        if self.closed_with is None:
            self._resuming.start(wanted, head)

    async def _read(self) -> None:
        while (raw := await self._link.next_text()) is not None:
            waits = self._hear(raw)
            if waits is not None:
                await waits

    def _hear(self, raw: bytes) -> Coroutine[Any, Any, None] | None:
        """Most frames are dealt with at once; what has to wait is left to be awaited."""
        try:
            frame = protocol.read(raw)
        except MessengerError as error:
            self._refuse_malformed(None, error)
            return None
        command, limit = self._commands.get(frame.verb), self._limit
        is_send = command is not None and command.action == "send"
        try:
            if limit is None or is_send or limit.passes(self.me.user_id):
                return self._obey(command, frame)
            return self._obey_if_allowed(limit, command, frame)
        except MessengerError as error:
            if limit is not None and is_send:  # it never came to where messages are charged
                refuse = partial(self._refuse, frame.ref)
                limit.ask(self.me.user_id, partial(refuse, error), refuse)
            else:
                self._refuse(frame.ref, error)
        return None

    def _obey(self, command: Command | None, frame: protocol.Frame) -> Coroutine[Any, Any, None] | None:
        if command is None:
            self._obey_itself(frame)
        elif command.waits or self._under_way >= MOST_UNDER_WAY:
            return self._obey_in_turn(command, frame)
        else:
            self._begin(command, frame)
        return None

    async def _obey_if_allowed(self, limit: "Limit", command: Command | None, frame: protocol.Frame) -> None:
        try:
            await limit.enter(self.me.user_id)
            waits = self._obey(command, frame)
        except MessengerError as error:
            self._refuse(frame.ref, error)
            return
        if waits is not None:
            await waits

    async def _obey_in_turn(self, command: Command, frame: protocol.Frame) -> None:
        try:
            if not command.waits:
                await self._wait_until_under_way(MOST_UNDER_WAY - 1)
                self._begin(command, frame)
                return
            await self._wait_until_under_way(0)  # what was sent before is done before
            result = await self._run(command, frame)
            if frame.ref is not None:
                self._outbox.put(protocol.ack(frame.ref, result))
        except MessengerError as error:
            self._refuse(frame.ref, error)

    def _begin(self, command: Command, frame: protocol.Frame) -> None:
        self._under_way += 1
        try:
            command.run(self._call(frame))
        except MessengerError:
            self._under_way -= 1
            raise
        except Exception:
            self._under_way -= 1
            raise self._failure(frame) from None

    def _obey_itself(self, frame: protocol.Frame) -> None:
        if frame.verb == "ping":
            self._outbox.put(protocol.ack(frame.ref, {}) if frame.ref is not None else protocol.of({"type": "pong"}))
        elif frame.verb == "resume":
            self._resuming.start(wanted_cursor(frame), 0, frame.ref)
        else:
            self._refuse_malformed(frame.ref, protocol.unknown(frame.verb))

    async def _run(self, command: Command, frame: protocol.Frame) -> Any:
        try:
            async with asyncio.timeout(self._pace.command):
                return await command.run(self._call(frame))
        except MessengerError:
            raise
        except TimeoutError:  # perhaps it was done, so no 4xx
            raise Unavailable("The command took too long to answer.", retry_after=1) from None
        except Exception:
            raise self._failure(frame) from None

    def _call(self, frame: protocol.Frame) -> Call:
        answer, refuse = partial(self._answer, frame.ref), partial(self._refuse_later, frame.ref)
        return Call(self.app, self.me, frame.fields, self.subscription, answer, refuse)

    def _failure(self, frame: protocol.Frame) -> InternalError:
        log.exception("a command failed verb=%s user=%s", frame.verb, self.me.user_id)
        return InternalError()

    async def _wait_until_under_way(self, few: int) -> None:
        while self._under_way > few and self.closed_with is None:
            self._settled = asyncio.Event()
            await self._settled.wait()
        if self.closed_with is not None:
            raise Unavailable  # nobody hears it; the frame came too late to be accepted

    def _answer(self, ref: str | None, result: Any, replayed: bool) -> None:
        self._settle()
        self._resuming.acked(getattr(result, "message_id", ""))
        if ref is not None:
            self._outbox.put(protocol.ack(ref, result, replayed))

    def _refuse_later(self, ref: str | None, error: MessengerError) -> None:
        self._settle()
        self._refuse(ref, error)

    def _settle(self) -> None:
        self._under_way -= 1
        self._wake()

    def _wake(self) -> None:
        if self._settled is not None:
            self._settled.set()
            self._settled = None

    def _refuse(self, ref: str | None, error: MessengerError) -> None:
        self._outbox.put(protocol.error(ref, error, self._request_id))
        if isinstance(error, TooManyRequests):
            self._refusals = self._refusals or Refusals()
            if self._refusals.note():
                self.close(RATE_LIMITED)

    def _refuse_malformed(self, ref: str | None, error: MessengerError) -> None:
        self._refuse(ref, error)
        now = time.monotonic()
        self._malformed = [*(at for at in self._malformed if now - at < MINUTE), now]
        if len(self._malformed) >= MOST_MALFORMED:
            self.close(closing.PROTOCOL_ERROR)


def wanted_cursor(frame: protocol.Frame) -> Cursor:
    raw = frame.fields.get("cursor")
    found = Cursor.find(raw) if isinstance(raw, str) else None
    if found is None:
        raise BadCursor
    return found
