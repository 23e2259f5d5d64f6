"""Those who say things: many sends under way on one socket, or one request after the other; each asks until it knows.

A send is given up for nothing but an answer. What was under way when a connection broke is said again, with its key,
in the order of the first time, wherever the next connection leads.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import msgspec

from proof.lab.crowd import Actor, Client, Place
from proof.lab.processes import AWAY
from proof.lab.proxy import Proxy
from proof.lab.waiting import happens
from proof.torture.journal import (
    Ack,
    Asked,
    Gap,
    Journal,
    Mark,
    Marked,
    Opened,
    Refusal,
    Said,
    Send,
    Shut,
    Told,
    Unknown,
    digest,
)
from proof.torture.pipe import NotOpened, Pipe
from proof.torture.plan import Draft

WINDOW = 64
STALLED = 4.0  # nothing answered for so long with sends under way: the other side may be dead
BREATH = 0.05
AGAIN = 0.1


class HeardMessage(msgspec.Struct):
    seq: int
    sender_id: str
    text: str
    deleted: bool
    edited_at: str | None


class Reads(msgspec.Struct):
    user_id: str
    from_seq: int
    to_seq: int


class Event(msgspec.Struct):
    type: str
    cursor: str = ""
    chat_id: str = "0"
    message: HeardMessage | None = None
    user_id: str | None = None
    session_id: str = "0"
    reads: list[Reads] = []
    from_seq: int = 0
    to_seq: int = 0

    @property
    def position(self) -> int:
        return int(self.cursor.partition(".")[2] or -1)


class Result(msgspec.Struct):
    chat_id: str = "0"
    message_id: str = "0"
    seq: int = 0
    read_seq: int = 0


class Problem(msgspec.Struct):
    status: int
    code: str


class Answer(msgspec.Struct):
    ref: str | None = None
    result: Result | None = None
    error: Problem | None = None
    replayed: bool = False


EVENT = msgspec.json.Decoder(Event)
ANSWER = msgspec.json.Decoder(Answer)
ENCODER = msgspec.json.Encoder()
PASSING = {"hello", "resumed", "pong", "typing", "presence"}


def note(journal: Journal, line: int, event: Event) -> None:
    """What was heard goes into the journal."""
    at, chat = journal.now, int(event.chat_id)
    if event.type == "new_message" and event.message is not None:
        said = event.message
        changed = said.deleted or said.edited_at is not None
        journal.write(Said(at, line, event.position, chat, said.seq, int(said.sender_id), digest(said.text), changed))
    elif event.type in {"limited", "resync"}:
        journal.write(Gap(at, line, event.type, event.position, chat, event.from_seq, event.to_seq))
    else:
        user = int(event.user_id or event.session_id or 0)
        reads = [(int(one.user_id), one.from_seq, one.to_seq) for one in event.reads]
        journal.write(Told(at, line, event.position, event.type, chat, user, reads))


@dataclass(frozen=True, slots=True)
class Reading:
    """A read marker to be moved."""

    chat: int
    position: int
    seq: int


@dataclass(frozen=True, slots=True)
class Saying:
    """A draft and the chat of the server that stands for its number."""

    draft: Draft
    chat: int


@dataclass(eq=False)
class Speaker:
    """A person with one socket."""

    actor: Actor
    journal: Journal
    doors: Sequence[Proxy]  # any of them
    choice: Random
    on_ack: Callable[[Actor, Saying, Result], None] = lambda actor, saying, result: None
    session: int = 0  # its number, as the server told it
    waiting: deque[Saying | Reading] = field(default_factory=deque)
    under_way: dict[int, Saying | Reading] = field(default_factory=dict)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    pipe: Pipe | None = None
    line: int = 0
    door: Proxy | None = None
    window: int = WINDOW
    stalled: float = STALLED
    is_greeted: bool = False
    is_over: bool = False  # its session ended: nobody lets it in any more
    acked: int = 0
    _again: list[Saying | Reading] = field(default_factory=list)
    _heard_at: float = 0.0

    def __post_init__(self) -> None:
        self.settled.set()

    def give(self, things: Iterable[Saying | Reading]) -> None:
        self.waiting.extend(things)
        self.settled.clear()
        self._fill()
        self._look()

    async def run(self) -> None:
        """For as long as its task lives, or until its session has ended."""
        while not self.is_over:
            self.door = self.choice.choice(self.doors)
            self.line = self.journal.ref()
            self.is_greeted = False
            try:
                self.pipe = await Pipe.open(self.door.port, "/v1/ws", self.actor.session_id, self._hear)
            except NotOpened as error:
                self._asked("upgrade", error.status)
                self.is_over = error.status == 401
                await asyncio.sleep(BREATH)
                continue
            except AWAY:
                await asyncio.sleep(BREATH)
                continue
            try:
                await self._converse(self.pipe)
            finally:
                self.pipe.abort("left")
                self._lose(self.pipe.why)
        self.waiting.clear()
        self._again.clear()
        self._look()

    @property
    def process(self) -> int:
        return self.door.number if self.door is not None else 0

    async def _converse(self, pipe: Pipe) -> None:
        loop = asyncio.get_running_loop()
        user = int(self.actor.user_id)
        opened = Opened(self.journal.now, self.line, "", "socket", self.process, user, self.session, -1)
        self.journal.write(opened)
        self._heard_at = loop.time()
        self._fill()
        while not pipe.ended.is_set():
            try:
                async with asyncio.timeout(self.stalled / 4):
                    await pipe.ended.wait()
            except TimeoutError:
                if self.under_way and loop.time() - self._heard_at > self.stalled:
                    pipe.abort("stalled")

    def _lose(self, why: str) -> None:
        self.is_over = self.is_over or why == "4502"
        self.pipe = None
        self.journal.write(Shut(self.journal.now, self.line, why))
        for ref in self.under_way:
            self.journal.write(Unknown(self.journal.now, ref, why))
        # In the order of the first time, those that were refused for now among them.
        lost = [*self._again, *self.under_way.values()]
        self._again.clear()
        self.waiting.extendleft(reversed(sorted(lost, key=first_time)))
        self.under_way.clear()

    def _fill(self) -> None:
        while (
            self.waiting
            and len(self.under_way) < self.window
            and self.pipe is not None
            and not self.pipe.ended.is_set()
        ):
            thing = self.waiting.popleft()
            if not self.under_way:
                self._heard_at = asyncio.get_running_loop().time()
            self.pipe.say(self.words(thing))

    def words(self, thing: Saying | Reading) -> bytes:
        """The frame, noted as written."""
        ref = self.journal.ref()
        self.under_way[ref] = thing
        write(self.journal, ref, self.line, self.session, self.process, self.actor, thing)
        frame = {"ref": str(ref), "chat_id": thing.chat}
        if isinstance(thing, Reading):
            return ENCODER.encode({"type": "read_message", **frame, "id": str(thing.position)})
        text, key = thing.draft.text, thing.draft.key
        return ENCODER.encode({"type": "new_message", **frame, "text": text, "client_id": key})

    def _hear(self, raw: bytes) -> None:
        if raw.startswith(b'{"type":"ack"') or raw.startswith(b'{"type":"error"'):
            self._hear_answer(ANSWER.decode(raw))
            return
        event = EVENT.decode(raw)
        if event.type == "ready":
            self.session, self.is_greeted = int(event.session_id), True
        elif event.type not in PASSING:
            note(self.journal, self.line, event)

    def _hear_answer(self, answer: Answer) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        thing = self.under_way.pop(int(answer.ref or 0), None)
        if thing is None:
            self._asked("frame", answer.error.status if answer.error else 0, answer.error.code if answer.error else "")
            return
        ref, now = int(answer.ref or 0), self.journal.now
        if answer.result is not None:
            settle(self.journal, ref, thing, answer.result, answer.replayed)
            if isinstance(thing, Saying):
                self.acked += 1
                self.on_ack(self.actor, thing, answer.result)
        elif answer.error is not None and answer.error.status == 503:
            self.journal.write(Unknown(now, ref, "503"))
            if not self._again:
                asyncio.get_running_loop().call_later(AGAIN, self._say_again)
            self._again.append(thing)
        elif answer.error is not None:
            self.journal.write(Refusal(now, ref, answer.error.status, answer.error.code))
        self._fill()
        self._look()

    def _say_again(self) -> None:
        self.waiting.extendleft(reversed(sorted(self._again, key=first_time)))
        self._again.clear()
        self._fill()

    def _look(self) -> None:
        if not (self.waiting or self.under_way or self._again):
            self.settled.set()

    def _asked(self, what: str, status: int, code: str = "") -> None:
        lines = self.journal.lines
        self.journal.write(Asked(self.journal.now, lines, self.session, self.process, what, status, code))


def first_time(thing: Saying | Reading) -> int:
    return thing.draft.number if isinstance(thing, Saying) else 0


def write(
    journal: Journal, ref: int, line: int, session: int, process: int, actor: Actor, thing: Saying | Reading
) -> None:
    """Into the journal, before it is sent."""
    at, user = journal.now, int(actor.user_id)
    if isinstance(thing, Reading):
        journal.write(Mark(at, ref, line, session, user, thing.chat, thing.seq))
    else:
        draft = thing.draft
        words = digest(draft.text)
        journal.write(Send(at, ref, line, session, process, user, thing.chat, draft.key, words, draft.flaw))


def settle(journal: Journal, ref: int, thing: Saying | Reading, result: Result, replayed: bool) -> None:
    if isinstance(thing, Reading):
        journal.write(Marked(journal.now, ref, result.read_seq))
    else:
        position = int(result.message_id)
        journal.write(Ack(journal.now, ref, int(result.chat_id), result.seq, position, replayed))


@dataclass(eq=False)
class Requester:
    """A person who says one thing after the other by requests of their own."""

    client: Client
    journal: Journal
    doors: Sequence[Place]  # by process
    choice: Random
    session: int = 0
    on_ack: Callable[[Actor, Saying, Result], None] = lambda actor, saying, result: None
    acked: int = 0

    @property
    def actor(self) -> Actor:
        return self.client.actor

    async def say_all(self, sayings: Iterable[Saying]) -> None:
        for saying in sayings:
            while not await self.say(saying, self.choice.randrange(len(self.doors))):
                await asyncio.sleep(AGAIN)

    async def say(self, saying: Saying, process: int, seconds: float = 3) -> bool:
        """Is it known now what became of it?"""
        ref = self.journal.ref()
        path = f"/v1/chats/{saying.chat}/messages"
        body = {"text": saying.draft.text, "client_id": saying.draft.key}
        write(self.journal, ref, 0, self.session, process, self.actor, saying)
        try:
            answer = await self.client.asks(self.doors[process], "POST", path, body, seconds=seconds)
        except AWAY as error:
            self.journal.write(Unknown(self.journal.now, ref, type(error).__name__))
            return False
        if answer.status in {200, 201}:
            result = msgspec.convert(answer.json, Result)
            settle(self.journal, ref, saying, result, answer.status == 200)
            self.acked += 1
            self.on_ack(self.actor, saying, result)
            return True
        if answer.status == 503:
            self.journal.write(Unknown(self.journal.now, ref, "503"))
            return False
        self.journal.write(Refusal(self.journal.now, ref, answer.status, answer.json["code"]))
        return True

    async def gets_through(self, saying: Saying, process: int, *, within: float, seconds: float = 3) -> None:
        """Said again until it is acknowledged: the first word of this person."""

        async def is_acknowledged() -> bool:
            await self.say(saying, process, seconds=seconds)
            return self.acked == 1

        await happens(is_acknowledged, f"an ack of process {process}", within)
