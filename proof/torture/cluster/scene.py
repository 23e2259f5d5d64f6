"""Who stands around two servers on three machines: fifty people who send at an even pace, ten who listen with nothing
but a cursor, two who read pages, and questions whether the servers are ready.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from proof.lab.crowd import Actor, Client, sign_up
from proof.lab.machines import Machines, running_machines
from proof.lab.processes import AWAY, Process
from proof.torture.journal import Asked, Journal
from proof.torture.plan import Draft, LastWords
from proof.torture.speakers import Requester, Saying, Speaker
from proof.torture.witnesses import WAYS, PageReader, Witness

PEOPLE = 50
LISTENERS = 10
CHATS = 10
MOST_UNSETTLED = 4  # nobody writes on and on while nothing is answered
STEP = 0.02  # between two looks at the clock of the pace
PROBE = 0.1
PROBE_PATIENCE = 3.0
READY = 90.0
BACK = 60.0
END = 60.0

Mode = dict[str, Any]
# How Patroni lets PostgreSQL commit, where it differs from its file.
MODES: dict[str, Mode] = {
    "quorum": {},
    "strict": {"synchronous_mode_strict": True},
    "asynchronous": {"synchronous_mode": False},
}


@dataclass(frozen=True, slots=True)
class Door:
    """A server, as people find it."""

    port: int
    number: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Probe:
    """An answer of /readyz; both times are those of the journal, status 0: none came."""

    process: int
    asked_at: int
    at: int
    status: int


class Sender(Speaker):
    """Hears answers only: what is heard is the listeners' business."""

    def _hear(self, raw: bytes) -> None:
        if raw.startswith((b'{"type":"ack"', b'{"type":"error"', b'{"type":"ready"')):
            super()._hear(raw)

    @property
    def unsettled(self) -> int:
        return len(self.waiting) + len(self.under_way) + len(self._again)


@dataclass(eq=False)
class Scene:
    machines: Machines
    servers: tuple[Process, Process]
    doors: tuple[Door, Door]
    http: aiohttp.ClientSession
    people: dict[str, Actor]
    journal: Journal
    choice: Random
    rate: int
    chats: list[int] = field(default_factory=list)
    senders: list[Sender] = field(default_factory=list)
    witnesses: list[Witness] = field(default_factory=list)
    readers: list[PageReader] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    alone: list[tuple[int, int]] = field(default_factory=list)  # when both standbys stood still
    held_back: int = 0  # sends that were due and not written, because earlier ones were unsettled
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _pacing: "asyncio.Task[None] | None" = None
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def client(self, name: str) -> Client:
        return Client(self.http, self.people[name])

    @property
    def acked(self) -> int:
        return sum(one.acked for one in self.senders)

    async def set_up(self) -> None:
        host = self.client("host")
        speaking, hearing = [[one for one in self.people if one.startswith(kind)] for kind in ("sender", "listener")]
        for number in range(CHATS):
            members = [self.people[name] for name in (*speaking[number::CHATS], *hearing, "reader", "prober")]
            self.chats.append(int(await host.opens_chat(self.doors[0], f"torture {number}", members)))
        for name in speaking:
            self.senders.append(Sender(self.people[name], self.journal, self.doors, self.choice))
        for name, way in zip(hearing, cycle(WAYS), strict=False):
            client = self.client(name)
            self.witnesses.append(
                Witness(
                    client,
                    way,
                    await client.cursor(self.doors[0]),
                    name=f"{name} by {way}",
                    journal=self.journal,
                    doors=self.doors,
                    choice=self.choice,
                    last_chat=self.chats[-1],
                )  # fmt: skip
            )
        for process, chat in enumerate(self.chats[:2]):
            reader = PageReader(
                self.client("reader"), self.journal, self.doors, process, chat, f"page reader {process}"
            )
            self.readers.append(reader)
        work = [one.run() for one in (*self.senders, *self.readers)] + [one.follow() for one in self.witnesses]
        work += [self._ask_whether_ready(process) for process in range(2)]
        self._tasks += map(asyncio.create_task, work)
        self._pacing = asyncio.create_task(self._send_at_pace())

    async def _send_at_pace(self) -> None:
        began, due = time.monotonic(), 0
        turn = cycle(enumerate(self.senders))
        while True:
            await asyncio.sleep(STEP)
            now_due = int((time.monotonic() - began) * self.rate)
            for _ in range(now_due - due):
                at, sender = next(turn)
                if sender.unsettled < MOST_UNSETTLED:
                    sender.give([self._saying(at % CHATS)])
                else:
                    self.held_back += 1
            due = now_due

    def _saying(self, chat: int) -> Saying:
        number = next(self._numbers)
        return Saying(Draft(number, chat, 20 + number % 180), self.chats[chat])

    async def _ask_whether_ready(self, process: int) -> None:
        timeout = aiohttp.ClientTimeout(total=PROBE_PATIENCE)
        while True:
            asked_at, status = self.journal.now, 0
            with suppress(*AWAY):
                async with self.http.get(f"{self.doors[process].url}/readyz", timeout=timeout) as answer:
                    status = answer.status
            self.probes.append(Probe(process, asked_at, self.journal.now, status))
            self.journal.write(Asked(self.journal.now, self.journal.lines, 0, process, "readyz", status))
            await asyncio.sleep(PROBE)

    async def recovery(self) -> None:
        """Until a send is acknowledged on both."""

        async def one(process: int) -> None:
            prober = Requester(self.client("prober"), self.journal, self.doors, self.choice)
            await prober.gets_through(self._saying(0), process, within=BACK)

        await asyncio.gather(*map(one, range(2)))

    def workers(self) -> list[list[int]]:
        return [sorted(worker.pid for worker in server.workers()) for server in self.servers]

    async def end(self) -> None:
        """Everything said is settled, then the last words are heard by everybody."""
        if self._pacing is not None:
            self._pacing.cancel()
        async with asyncio.timeout(END):
            for sender in self.senders:
                await sender.settled.wait()
        host = Requester(self.client("host"), self.journal, self.doors, self.choice)
        await host.say_all([Saying(LastWords(next(self._numbers), at, 0), chat) for at, chat in enumerate(self.chats)])
        with suppress(TimeoutError):
            async with asyncio.timeout(END):
                while not all(one.is_at_end for one in self.witnesses):
                    await asyncio.sleep(STEP)
                for reader in self.readers:
                    while await reader.look():
                        pass
        for witness in self.witnesses:
            await witness.read_owed()

    async def leave(self) -> None:
        tasks = [*self._tasks, *([self._pacing] if self._pacing is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def ends(self) -> Counter[str]:
        """How listeners lost their connections, which nobody cut."""
        ends = sum((one.ends for one in self.witnesses), Counter())
        del ends["end"]  # of a long-poll that had its answer
        return ends


@asynccontextmanager
async def running_scene(folder: Path, journal: Journal, *, mode: str, rate: int, seed: int) -> AsyncIterator[Scene]:
    names = [f"sender {n}" for n in range(PEOPLE)] + [f"listener {n}" for n in range(LISTENERS)]
    names += ["host", "reader", "prober"]
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        running_machines(folder, **MODES[mode]) as machines,
        aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        first = await machines.server(WIRE="postgres").ready(READY)  # makes the schema
        servers = first, await machines.server(WIRE="postgres").ready(READY)
        people = {one.name: one for one in await sign_up(first, names)}
        doors = Door(servers[0].port, 0), Door(servers[1].port, 1)
        scene = Scene(machines, servers, doors, http, people, journal, Random(seed), rate)  # noqa: S311
        try:
            await scene.set_up()
            yield scene
        finally:
            await scene.leave()
