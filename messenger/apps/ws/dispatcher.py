"""From a frame to its answer: decode it, find its command, run it, answer it."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine, Mapping
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
from messenger.web.body import PlainReader
from messenger.web.call import Call, usual_of

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


class Commands:
    """The verbs of all sub-apps, and the frame that is decoded at once because most frames are such ones."""

    def __init__(self, functions: Mapping[str, Callable[[Call], Any]], limit: Limit | None, seconds: float) -> None:
        """`limit`: of everything but sends, which are charged in their batch; `seconds`: for a command that waits."""
        self.by_verb = {verb: Command.of(function) for verb, function in functions.items()}
        self.limit = limit
        self.seconds = seconds
        self.usual_verb = ""
        self._usual_frame: PlainReader[Any] | None = None
        for verb, function in functions.items():
            command = self.by_verb[verb]
            if (kind := usual_of(function)) is not None and command.action == "send" and not command.waits:
                self.usual_verb, self._usual_frame = verb, PlainReader(kind)

    def read(self, raw: bytes) -> protocol.Frame:
        usual = None if self._usual_frame is None else self._usual_frame.read(raw)
        return protocol.read(raw) if usual is None else protocol.Frame(self.usual_verb, usual.ref, usual)


class Dispatcher:
    """Of one socket. An Asker of its calls."""

    __slots__ = (
        "_answers", "_app", "_commands", "_is_closed", "_listener", "_me", "_resuming", "_settled", "_under_way"
    )  # fmt: skip

    def __init__(
        self,
        app: web.Application,
        me: Identity,
        commands: Commands,
        listener: Subscription,
        answers: Answers,
        resuming: Callable[[], Resuming],
    ) -> None:
        self._app = app
        self._me = me
        self._commands = commands
        self._listener = listener
        self._answers = answers
        self._resuming = resuming
        self._under_way = 0
        self._settled: asyncio.Event | None = None  # set while a frame waits for it
        self._is_closed = False

    def handle(self, raw: bytes) -> Coroutine[Any, Any, None] | None:
        """One frame. Most are dealt with at once; what has to wait for something is left to be awaited."""
        try:
            frame = self._commands.read(raw)
        except MessengerError as error:
            self._answers.refuse_malformed(protocol.ref_in(raw), error)
            return None
        command, limit = self._commands.by_verb.get(frame.verb), self._commands.limit
        passes = limit is None or is_send(command) or limit.passes(self._me.user_id)
        if not passes or (command is not None and (command.waits or self._under_way >= MOST_UNDER_WAY)):
            return self._handle_later(frame, command, None if passes else limit)
        try:
            self._begin(frame, command)
        except Exception as error:
            self._tell_failure(frame, command, error)
        return None

    async def _handle_later(self, frame: protocol.Frame, command: Command | None, limit: Limit | None) -> None:
        try:
            if limit is not None:
                await limit.enter(self._me.user_id)
            if command is not None and command.waits:
                self._answers.ack(frame.ref, await self._run(frame, command))
                return
            if command is not None:
                await self._until_under_way(MOST_UNDER_WAY - 1)
            self._begin(frame, command)
        except Exception as error:
            self._tell_failure(frame, command, error)

    def stop(self) -> None:
        """Nothing more is accepted."""
        self._is_closed = True
        self._wake()

    def _begin(self, frame: protocol.Frame, command: Command | None) -> None:
        if command is None:
            self._run_own(frame)
            return
        self._under_way += 1
        try:
            command.run(self._call(frame))
        except BaseException:
            self._under_way -= 1
            raise

    def _run_own(self, frame: protocol.Frame) -> None:
        """The verbs of the protocol itself."""
        if frame.verb == "ping":
            self._answers.pong(frame.ref)
        elif frame.verb == "resume":
            self._resuming().start(wanted_cursor(frame), 0, frame.ref)
        else:
            self._answers.refuse_malformed(frame.ref, protocol.unknown(frame.verb))

    async def _run(self, frame: protocol.Frame, command: Command) -> Any:
        await self._until_under_way(0)  # earlier frames are done first
        try:
            async with asyncio.timeout(self._commands.seconds):
                return await command.run(self._call(frame))
        except TimeoutError:  # it may have been done, so no 4xx
            raise Unavailable("The command took too long to answer.", retry_after=1) from None

    def _call(self, frame: protocol.Frame) -> Call:
        return Call(self._app, self._me, frame.fields, self._listener, frame.ref, self)

    def _tell_failure(self, frame: protocol.Frame, command: Command | None, error: Exception) -> None:
        if not isinstance(error, MessengerError):
            log.error("a command failed verb=%s user=%s", frame.verb, self._me.user_id, exc_info=error)
            self._answers.refuse(frame.ref, InternalError())
        elif self._commands.limit is not None and is_send(command):
            self._charge_refusal(self._commands.limit, frame.ref, error)
        else:
            self._answers.refuse(frame.ref, error)

    def _charge_refusal(self, limit: Limit, ref: str | None, error: MessengerError) -> None:
        """A send that fails before sends are charged costs as much as any other frame."""
        refuse = partial(self._answers.refuse, ref)
        limit.ask(self._me.user_id, partial(refuse, error), refuse)

    # --- the command's side: the answers of what was begun

    def answer(self, ref: str | None, result: Any, replayed: bool, message_id: str) -> None:
        self._settle()
        if message_id and not self._listener.is_live:
            self._resuming().acked(message_id)
        self._answers.ack(ref, result, replayed)

    def refuse(self, ref: str | None, error: MessengerError) -> None:
        self._settle()
        self._answers.refuse(ref, error)

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


def is_send(command: Command | None) -> bool:
    return command is not None and command.action == "send"


def wanted_cursor(frame: protocol.Frame) -> Cursor:
    raw = frame.fields.get("cursor")
    found = Cursor.find(raw) if isinstance(raw, str) else None
    if found is None:
        raise BadCursor
    return found
