"""Everybody who stands around the product: who speaks, listens, reads and marks, and what they do beside the plan."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from proof.lab.crowd import Actor, Client
from proof.lab.processes import AWAY
from proof.lab.proxy import Proxy
from proof.torture.journal import Asked, Journal, Membership
from proof.torture.plan import CHATS, DOOR, REQUESTS, SOCKETS, Act, Draft, LastWords, Plan
from proof.torture.speakers import Reading, Requester, Result, Saying, Speaker
from proof.torture.topology import Topology, running_topology
from proof.torture.witnesses import WAYS, PageReader, Witness, ask_page

READER_CHATS = (0, 6)
PAGED_CHATS = (0, 3)
OWN_CHAT = 1  # where those speak who come and go by sessions, and those whose sends are made ambiguous
SPEAKING = [f"speaker {number}" for number in range(len(SOCKETS))]
ASKING = [f"requester {number}" for number in range(len(REQUESTS))]
HEARING = [f"witness by {way}" for way in WAYS]
OTHERS = ["host", "reader", "sleeper", "guest", "leaver", "ambiguous sender", "page reader", "prober"]
READY_LIMIT = 60.0
PROBE = 1.0
END_PATIENCE = 60.0
MARKS_PER_ACT = 12
ASIDES_PER_ACT = 10
ONE_LOOK_OF = 50
REMEMBERED = 400
FIRST_OWN_NUMBER = 1_000_000_000  # drafts that are in no plan: probes, ambiguous sends, guests


@dataclass(eq=False)
class Scenario:
    topology: Topology
    plan: Plan
    journal: Journal
    chats: list[int] = field(default_factory=list)
    speakers: list[Speaker] = field(default_factory=list)
    requesters: list[Requester] = field(default_factory=list)
    witnesses: list[Witness] = field(default_factory=list)
    devices: list[Speaker] = field(default_factory=list)  # of the reader
    page_readers: list[PageReader] = field(default_factory=list)
    is_guest_in: bool = False
    _recent: dict[int, deque[tuple[Actor, Result]]] = field(default_factory=dict)
    _last: int = 0  # the furthest position that was acknowledged
    _number: int = FIRST_OWN_NUMBER
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _looks: set["asyncio.Task[None]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.choice = self.plan.random("doors")

    @property
    def doors(self) -> tuple[Proxy, Proxy]:
        return self.topology.doors

    # --- before the first act

    async def set_up(self) -> None:
        host = self.topology.client("host")
        for number in range(CHATS):
            members = [self.topology.people[name] for name in self._members(number)]
            chat = int(await host.opens_chat(self.topology.processes[0], f"torture {number}", members))
            self.chats.append(chat)
            self._recent[chat] = deque(maxlen=REMEMBERED)
        for way, name in zip(WAYS, HEARING, strict=True):
            self.witnesses.append(await self._witness(name, name, way))
            self.witnesses.append(await self._witness(f"guest by {way}", "guest", way))
        self.sleeper = await self._witness("sleeper", "sleeper", "socket")
        self.speakers = [self.speaker(name, name) for name in SPEAKING]
        self.devices = [self.speaker("reader", f"device {number}") for number in range(2)]
        self.requesters = [self.requester(name, name) for name in ASKING]
        reader = self.topology.client("page reader")
        for process, number in enumerate(PAGED_CHATS):
            one = PageReader(reader, self.journal, self.doors, process, self.chats[number], f"page reader {process}")
            self.page_readers.append(one)
        running = [one.run() for one in (*self.speakers, *self.devices)] + [one.run() for one in self.page_readers]
        self._tasks += map(asyncio.create_task, running)
        for witness in self.witnesses:
            self._tasks.append(asyncio.create_task(witness.follow(self.plan.cuts(witness.name))))

    def _members(self, number: int) -> list[str]:
        names = [*HEARING, "sleeper", "prober"]
        names += [name for name, chats in zip(SPEAKING, SOCKETS, strict=True) if number in chats]
        names += [name for name, chats in zip(ASKING, REQUESTS, strict=True) if number in chats]
        names += ["reader"] * (number in READER_CHATS) + ["page reader"] * (number in PAGED_CHATS)
        return names + ["ambiguous sender", "leaver"] * (number == OWN_CHAT)

    async def _witness(self, name: str, person: str, way: str) -> Witness:
        client = self.topology.client(person)
        cursor = await client.cursor(self.topology.processes[0])
        return Witness(
            client, way, cursor, name=name, journal=self.journal, doors=self.doors,
            choice=self.plan.random(f"doors of {name}"), last_chat=self.chats[DOOR],
        )  # fmt: skip

    def speaker(self, person: str, purpose: str, doors: Sequence[Proxy] = ()) -> Speaker:
        actor, choice = self.topology.people[person], self.plan.random(purpose)
        return Speaker(actor, self.journal, doors or self.doors, choice, on_ack=self._on_ack)

    def requester(self, person: str, purpose: str) -> Requester:
        choice = self.plan.random(purpose)
        return Requester(self.topology.client(person), self.journal, self.doors, choice, on_ack=self._on_ack)

    # --- what is known

    @property
    def acked(self) -> int:
        return sum(one.acked for one in self.speakers) + sum(one.acked for one in self.requesters)

    @property
    def in_flight(self) -> int:
        return sum(len(one.under_way) for one in self.speakers)

    def _on_ack(self, actor: Actor, saying: Saying, result: Result) -> None:
        self._last = max(self._last, int(result.message_id))
        self._recent[saying.chat].append((actor, result))
        if saying.draft.number % ONE_LOOK_OF == 0:
            task = asyncio.get_running_loop().create_task(self._look(actor, saying.chat, result.seq))
            self._looks.add(task)
            task.add_done_callback(self._looks.discard)

    async def _look(self, actor: Actor, chat: int, seq: int) -> None:
        """What was just acknowledged is read at once, on either process."""
        for process in range(2):
            await self.read(Client(self.topology.http, actor), process, chat, first=seq, limit=1)

    async def read(self, client: Client, process: int, chat: int, *, first: int, limit: int) -> None:
        await ask_page(client, self.journal, self.doors, process, chat, first=first, limit=limit)

    def own(self, chat: int, many: int, flaw: str = "") -> list[Saying]:
        """Drafts of no plan; `chat` by its place in the plan."""
        found = []
        for _ in range(many):
            self._number += 1
            found.append(Saying(Draft(self._number, chat, 40, flaw), self.chats[chat]))
        return found

    async def recovery(self, hit: Sequence[int], since: float) -> float:
        """Seconds until each of them has acknowledged a send again; asked past the proxies."""

        async def one(process: int) -> float:
            prober = Requester(self.topology.client("prober"), self.journal, self.topology.processes, self.choice)
            (saying,) = self.own(0, 1)
            await prober.gets_through(saying, process, within=READY_LIMIT, seconds=PROBE)
            return time.monotonic() - since

        return max(await asyncio.gather(*map(one, hit)), default=time.monotonic() - since)

    # --- beside the plan

    def move_marks(self, act: Act) -> None:
        """Two devices of one person, in no order at all."""
        choice = self.plan.random(f"marks {act.number}")
        for number in range(MARKS_PER_ACT):
            chat = self.chats[READER_CHATS[choice.randrange(len(READER_CHATS))]]
            if self._recent[chat]:
                _, result = choice.choice(self._recent[chat])
                self.devices[number % 2].give([Reading(chat, int(result.message_id), result.seq)])

    async def act_beside(self, act: Act) -> None:
        """Whatever else happens in chats, so that the log holds more than messages."""
        choice = self.plan.random(f"asides {act.number}")
        for number in range(ASIDES_PER_ACT):
            await asyncio.sleep(0.02)
            chat, what = choice.choice(self.chats), choice.choice(("edit", "delete", "react", "react", "rename"))
            if not self._recent[chat]:
                continue
            actor, result = choice.choice(self._recent[chat])
            place = f"/v1/chats/{chat}/messages/{result.message_id}"
            method, path, body = {
                "edit": ("PATCH", place, {"text": f"edited {number}"}),
                "delete": ("DELETE", place, None),
                "react": ("PUT", f"{place}/reactions/👍", None),
                "rename": ("PATCH", f"/v1/chats/{chat}", {"chat_name": f"renamed {act.number}.{number}"}),
            }[what]
            asker = self.topology.client("host") if what == "rename" else Client(self.topology.http, actor)
            await self.ask(asker, choice.randrange(2), method, path, body, what=what)

    async def ask(
        self, client: Client, process: int, method: str, path: str, body: object, *, what: str, session: int = 0
    ) -> int:
        """Any other request, with its line in the journal; 0: no answer."""
        since = self.journal.lines
        try:
            answer = await client.asks(self.doors[process], method, path, body, seconds=5)
        except AWAY:
            return 0
        code = answer.json.get("code", "") if answer.status >= 400 and isinstance(answer.json, dict) else ""
        self.journal.write(Asked(self.journal.now, since, session, process, what, answer.status, code))
        return answer.status

    async def let_guest(self, *, into: bool, process: int | None = None) -> None:
        """In through the door, or out; asked again until it is known to be done."""
        guest, chat = self.topology.people["guest"].user_id, self.chats[DOOR]
        members, host = f"/v1/chats/{chat}/members", self.topology.client("host")
        call = ("POST", members, {"user_ids": [guest]}) if into else ("DELETE", f"{members}/{guest}", None)
        since, status = self.journal.lines, 0
        while status not in {201, 204, 404, 409}:  # the last two: an earlier try has done it
            door = self.doors[self.choice.randrange(2) if process is None else process]
            try:
                status = (await host.asks(door, *call, seconds=5)).status
                self.journal.write(Membership(self.journal.now, since, chat, int(guest), into, status))
            except AWAY:
                await asyncio.sleep(0.1)
        self.is_guest_in = into

    async def settle(self) -> None:
        """Everybody knows what became of what they said."""
        for one in (*self.speakers, *self.devices):
            await one.settled.wait()
        while self._looks:
            await asyncio.wait(self._looks)

    async def wake_sleeper(self) -> None:
        await self.sleeper.wakes(self._last, END_PATIENCE)

    # --- after the last act

    async def end(self) -> None:
        """Everybody hears the last words, wherever they are."""
        if not self.is_guest_in:
            await self.let_guest(into=True)
        host = self.requester("host", "last words")
        for number, chat in enumerate(self.chats):
            await host.say_all([Saying(LastWords(self._number + 1 + number, number, 0), chat)])
        with suppress(TimeoutError):
            async with asyncio.timeout(END_PATIENCE):
                while not all(one.is_at_end for one in self.witnesses):
                    await asyncio.sleep(0.02)
                await self.wake_sleeper()
                for reader in self.page_readers:
                    while await reader.look():
                        pass
        for witness in self.witnesses:
            await witness.read_owed()

    async def leave(self) -> None:
        tasks = [*self._tasks, *self._looks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def running_scenario(plan: Plan, journal: Journal, folder: Path) -> AsyncIterator[Scenario]:
    async with running_topology(plan.wire, plan.workers, folder, [*SPEAKING, *ASKING, *HEARING, *OTHERS]) as topology:
        scenario = Scenario(topology, plan, journal)
        try:
            await scenario.set_up()
            yield scenario
        finally:
            await scenario.leave()
