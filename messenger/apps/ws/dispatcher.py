"""From a frame to its answer: decode it, find its command, run it, answer it."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from messenger.apps.ws import protocol
from messenger.apps.ws.answers import Answers
from messenger.apps.ws.resuming import Resuming
from messenger.errors import BadCursor, InternalError, MessengerError, Unavailable
from messenger.identity import Identity
from messenger.log.entries import Cursor
from messenger.log.replay import Subscription
from messenger.web.access import Limit, action_of
from messenger.web.call import Call

log = logging.getLogger(__name__)

MOST_UNDER_WAY = 100  # sends of one socket that wait for their batch


@dataclass(frozen=True, slots=True)
class Command:
    """A verb's function. One that `waits` returns its result; the others answer later by themselves, from a batch."""

    run: Callable[[Call], Any]
    waits: bool
    action: str  # the limit that it counts against

    @classmethod
    def of(cls, function: Callable[[Call], Any]) -> "Command":
        return cls(function, inspect.iscoroutinefunction(function), action_of(function))


class Dispatcher:
    __slots__ = (
        "_answers", "_app", "_commands", "_is_closed", "_limit", "_listener", "_me", "_resuming", "_seconds",
        "_settled", "_under_way",
    )  # fmt: skip

    def __init__(
        self,
        app: web.Application,
        me: Identity,
        listener: Subscription,
        resuming: Resuming,
        answers: Answers,
        *,
        commands: Mapping[str, Command],
        limit: Limit | None,
        seconds: float,
    ) -> None:
        """`limit`: of everything but sends, which are charged in their batch; `seconds`: for a command that waits."""
        self._app = app
        self._me = me
        self._listener = listener
        self._resuming = resuming
        self._answers = answers
        self._commands = commands
        self._limit = limit
        self._seconds = seconds
        self._under_way = 0
        self._settled: asyncio.Event | None = None  # set while a frame waits for it
        self._is_closed = False

    async def handle(self, raw: bytes) -> None:
        """One frame. Most are dealt with without waiting."""
        try:
            frame = protocol.read(raw)
        except MessengerError as error:
            self._answers.refuse_malformed(None, error)
            return
        command, limit = self._commands.get(frame.verb), self._limit
        is_send = command is not None and command.action == "send"
        try:
            if limit is not None and not is_send and not limit.passes(self._me.user_id):
                await limit.enter(self._me.user_id)
            if command is None:
                self._run_own(frame)
            elif command.waits:
                self._answers.ack(frame.ref, await self._run(command, frame))
            else:
                if self._under_way >= MOST_UNDER_WAY:
                    await self._until_under_way(MOST_UNDER_WAY - 1)
                self._begin(command, frame)
        except MessengerError as error:
            if limit is not None and is_send:
                self._charge_refusal(limit, frame.ref, error)
            else:
                self._answers.refuse(frame.ref, error)
        except Exception:
            log.exception("a command failed verb=%s user=%s", frame.verb, self._me.user_id)
            self._answers.refuse(frame.ref, InternalError())

    def stop(self) -> None:
        """Nothing more is accepted."""
        self._is_closed = True
        self._wake()

    def _run_own(self, frame: protocol.Frame) -> None:
        """The verbs of the protocol itself."""
        if frame.verb == "ping":
            self._answers.pong(frame.ref)
        elif frame.verb == "resume":
            self._resuming.start(wanted_cursor(frame), 0, frame.ref)
        else:
            self._answers.refuse_malformed(frame.ref, protocol.unknown(frame.verb))

    async def _run(self, command: Command, frame: protocol.Frame) -> Any:
        await self._until_under_way(0)  # earlier frames are done first
        try:
            async with asyncio.timeout(self._seconds):
                return await command.run(self._call(frame))
        except TimeoutError:  # it may have been done, so no 4xx
            raise Unavailable("The command took too long to answer.", retry_after=1) from None

    def _begin(self, command: Command, frame: protocol.Frame) -> None:
        self._under_way += 1
        try:
            command.run(self._call(frame))
        except BaseException:
            self._under_way -= 1
            raise

    def _call(self, frame: protocol.Frame) -> Call:
        answer, refuse = partial(self._answer, frame.ref), partial(self._refuse, frame.ref)
        return Call(self._app, self._me, frame.fields, self._listener, answer, refuse)

    def _answer(self, ref: str | None, result: Any, replayed: bool) -> None:
        self._settle()
        self._resuming.acked(getattr(result, "message_id", ""))
        self._answers.ack(ref, result, replayed)

    def _refuse(self, ref: str | None, error: MessengerError) -> None:
        self._settle()
        self._answers.refuse(ref, error)

    def _charge_refusal(self, limit: Limit, ref: str | None, error: MessengerError) -> None:
        """A send that fails before sends are charged costs as much as any other frame."""
        refuse = partial(self._answers.refuse, ref)
        limit.ask(self._me.user_id, partial(refuse, error), refuse)

    async def _until_under_way(self, few: int) -> None:
        while self._under_way > few and not self._is_closed:
            self._settled = asyncio.Event()
            await self._settled.wait()
        if self._is_closed:
            raise Unavailable  # nobody hears it; the frame came too late to be accepted

    def _settle(self) -> None:
        self._under_way -= 1
        self._wake()

    def _wake(self) -> None:
        if self._settled is not None:
            self._settled.set()
            self._settled = None


def wanted_cursor(frame: protocol.Frame) -> Cursor:
    raw = frame.fields.get("cursor")
    found = Cursor.find(raw) if isinstance(raw, str) else None
    if found is None:
        raise BadCursor
    return found
