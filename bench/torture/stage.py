"""The product on its feet, everybody around it, and one act after the other.

Two processes on one private PostgreSQL: the first owns it as a user of its data folder, the second reaches it over TCP
through a proxy. Everybody outside comes in through a proxy before each of them.
"""

import asyncio
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg
import psutil  # type: ignore[import-untyped]

from bench.crowd import Actor, Client, sign_in, sign_up
from bench.house import AWAY, House, Process, Valkey, happens
from bench.torture.journal import Asked, Ended, Journal, Membership, Recovered, Stored, Struck
from bench.torture.plan import CHATS, DOOR, REQUESTS, SOCKETS, Act, Draft, Fault, Plan
from bench.torture.proxy import Mood, PostgresNotifications, Proxy, RedisPublishes, to_file, to_port
from bench.torture.speakers import Reading, Requester, Result, Saying, Speaker
from bench.torture.witnesses import WAYS, Leafer, Witness, ask_page
from messenger.db import keeper
from messenger.db.embedded import PrivatePostgres

READER_CHATS = (0, 6)
LEAFED_CHATS = (0, 3)
PEOPLE = ["host", *(f"speaker{n}" for n in range(len(SOCKETS))), *(f"requester{n}" for n in range(len(REQUESTS))),
          *(f"witness-{way}" for way in WAYS), "reader", "sleeper", "guest", "leaver", "doubter", "leafer", "prober"]  # fmt: skip
LIMIT = 60.0  # for an act to be over once its fault is
READY_LIMIT = 60.0
PROBE = 1.0
END_PATIENCE = 60.0
MARKS_PER_ACT = 12
ASIDES_PER_ACT = 10
ONE_LOOK_OF = 50
DOUBTS_AT_ONCE = 250
REMEMBERED = 400
FIRST_OWN_NUMBER = 1_000_000_000  # drafts that are in no plan: probes, doubts, guests


class NotQuiet(Exception):
    """The system did not come back: the run is broken whatever its journal says."""


@dataclass(eq=False)
class Stage:
    house: House
    plan: Plan
    journal: Journal
    processes: tuple[Process, Process]
    doors: tuple[Proxy, Proxy]  # before each process
    doubtful: tuple[Proxy, Proxy]  # the same, for those whose answers are swallowed
    base: Proxy  # before the database, for the second process
    redis: Proxy | None
    valkey: Valkey | None
    people: dict[str, Actor]
    http: aiohttp.ClientSession
    chats: list[int] = field(default_factory=list)
    speakers: list[Speaker] = field(default_factory=list)
    requesters: list[Requester] = field(default_factory=list)
    witnesses: list[Witness] = field(default_factory=list)
    devices: list[Speaker] = field(default_factory=list)  # of the reader
    leafers: list[Leafer] = field(default_factory=list)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    recent: dict[int, deque[tuple[Actor, Result]]] = field(default_factory=dict)
    is_guest_in: bool = False
    last: int = 0  # the furthest position that was acknowledged
    own_number: int = FIRST_OWN_NUMBER
    looks: set["asyncio.Task[None]"] = field(default_factory=set)

    def client(self, name: str) -> Client:
        return Client(self.http, self.people[name])

    # --- before the first act

    async def set_up(self) -> None:
        host, choice = self.client("host"), self.plan.random("doors")
        at = self.processes[0]
        heard = [self.people[f"witness-{way}"] for way in WAYS] + [self.people["sleeper"]]
        for number in range(CHATS):
            speak = [self.people[f"speaker{one}"] for one, chats in enumerate(SOCKETS) if number in chats]
            ask = [self.people[f"requester{one}"] for one, chats in enumerate(REQUESTS) if number in chats]
            others = [self.people["prober"]]
            others += [self.people["reader"]] if number in READER_CHATS else []
            others += [self.people["leafer"]] if number in LEAFED_CHATS else []
            others += [self.people["doubter"], self.people["leaver"]] if number == 1 else []
            made = await host.opens_chat(at, f"torture {number}", [*heard, *speak, *ask, *others])
            self.chats.append(int(made))
            self.recent[int(made)] = deque(maxlen=REMEMBERED)
        last_chat = self.chats[DOOR]
        for way in WAYS:
            client = self.client(f"witness-{way}")
            self.witnesses.append(await self._witness(f"witness-{way}", client, way, last_chat))
        for way in WAYS:
            self.witnesses.append(await self._witness(f"guest-{way}", self.client("guest"), way, last_chat))
        self.sleeper = await self._witness("sleeper", self.client("sleeper"), "sse", last_chat)
        self.speakers = [self._speaker(f"speaker{one}", f"speaker {one}") for one in range(len(SOCKETS))]
        self.devices = [self._speaker("reader", f"device {one}") for one in range(2)]
        self.requesters = [
            Requester(self.client(f"requester{one}"), self.journal, self.doors, self.plan.random(f"requester {one}"),
                      on_ack=self.on_ack) for one in range(len(REQUESTS))
        ]  # fmt: skip
        self.leafers = [
            Leafer(self.client("leafer"), self.journal, self.doors, process, self.chats[chat], f"leafer {process}")
            for process, chat in enumerate(LEAFED_CHATS)
        ]
        for one in (*self.speakers, *self.devices, *self.leafers):
            self.tasks.append(asyncio.create_task(one.run()))
        for witness in self.witnesses:
            cuts = self.plan.cuts(witness.name)
            self.tasks.append(asyncio.create_task(witness.follow(cuts)))
        self.choice = choice

    async def _witness(self, name: str, client: Client, way: str, last_chat: int) -> Witness:
        cursor = await client.cursor(self.processes[0])
        return Witness.of(
            client, way, cursor, name=name, journal=self.journal, doors=self.doors, last_chat=last_chat,
            choice=self.plan.random(f"way of {name}"),
        )  # fmt: skip

    def _speaker(self, person: str, purpose: str, doors: Sequence[Proxy] = ()) -> Speaker:
        return Speaker(
            self.people[person], self.journal, doors or self.doors, self.plan.random(purpose), on_ack=self.on_ack
        )

    def on_ack(self, actor: Actor, saying: Saying, result: Result) -> None:
        self.last = max(self.last, int(result.message_id))
        if saying.chat in self.recent:
            self.recent[saying.chat].append((actor, result))
        if saying.draft.number % ONE_LOOK_OF == 0:
            task = asyncio.get_running_loop().create_task(self.look(actor, saying.chat, result.seq))
            self.looks.add(task)
            task.add_done_callback(self.looks.discard)

    async def look(self, actor: Actor, chat: int, seq: int) -> None:
        """What was just acknowledged is read at once, on either process."""
        for process in range(2):
            client = Client(self.http, actor)
            await ask_page(client, self.journal, self.doors, process, chat, first=seq, limit=1, reader="")

    @property
    def acked(self) -> int:
        return sum(one.acked for one in (*self.speakers, *self.requesters))

    @property
    def in_flight(self) -> int:
        return sum(len(one.under_way) for one in self.speakers)

    # --- an act

    async def play(self, act: Act) -> None:
        before = self.acked
        sayings = [[Saying(draft, self.chats[draft.chat]) for draft in drafts] for drafts in act.drafts]
        for speaker, some in zip(self.speakers, sayings, strict=False):
            speaker.give(some)
        asking = [
            asyncio.create_task(one.say_all(some))
            for one, some in zip(self.requesters, sayings[len(self.speakers) :], strict=True)
        ]
        asking.append(asyncio.create_task(self.do_asides(act)))
        wanted = act.fault.after * sum(1 for drafts in act.drafts for draft in drafts if not draft.flaw)
        try:
            async with asyncio.timeout(LIMIT):
                while self.acked - before < wanted:
                    await asyncio.sleep(0.005)
            self.move_marks(act)
            await self.strike(act)
            async with asyncio.timeout(LIMIT):
                await asyncio.gather(*asking)
                for one in (*self.speakers, *self.devices):
                    await one.settled.wait()
                while self.looks:
                    await asyncio.wait(self.looks)
            if act.wakes:
                await self.sleeper.wakes(self.last, LIMIT)
        except TimeoutError:
            said = f"{self.acked - before} acknowledged, {self.in_flight} under way"
            raise NotQuiet(f"act {act.number} ({act.fault.kind}) did not end: {said}") from None
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def strike(self, act: Act) -> None:
        fault, number = act.fault, act.number
        self.journal.write(Struck(self.journal.now, number, fault.kind, fault.process))
        in_flight = self.in_flight
        hit, since = await FAULTS[fault.kind](self, fault)
        try:
            seconds = await self.recovery(hit, since)
        except AssertionError as error:
            raise NotQuiet(f"after {fault.kind} (act {number}): {error}") from None
        self.journal.write(Recovered(self.journal.now, number, fault.kind, seconds, in_flight))

    async def recovery(self, hit: Sequence[int], since: float) -> float:
        """Until each of them has acknowledged a send again; past the proxies."""

        async def one(process: int) -> float:
            async def acknowledges() -> bool:
                prober = Requester(self.client("prober"), self.journal, self.processes, self.choice)  # type: ignore[arg-type]
                saying = Saying(Draft(self.number(), 0, 30), self.chats[0])
                await prober.say(saying, process, seconds=PROBE)
                return prober.acked == 1

            await happens(acknowledges, f"an ack of process {process}", READY_LIMIT)
            return time.monotonic() - since

        return max(await asyncio.gather(*map(one, hit)), default=time.monotonic() - since)

    def number(self) -> int:
        self.own_number += 1
        return self.own_number

    def move_marks(self, act: Act) -> None:
        """Three devices of one person, in no order at all."""
        choice = self.plan.random(f"marks {act.number}")
        for number in range(MARKS_PER_ACT):
            chat = self.chats[READER_CHATS[number % len(READER_CHATS)]]
            if self.recent[chat]:
                _, result = choice.choice(self.recent[chat])
                self.devices[number % 2].give([Reading(chat, int(result.message_id), result.seq)])

    async def do_asides(self, act: Act) -> None:
        """Whatever else happens in chats, so that the log holds more than messages."""
        choice = self.plan.random(f"asides {act.number}")
        for number in range(ASIDES_PER_ACT):
            await asyncio.sleep(0.02)
            chat = choice.choice(self.chats)
            if not self.recent[chat]:
                continue
            actor, result = choice.choice(self.recent[chat])
            place = f"/v1/chats/{chat}/messages/{result.message_id}"
            what = choice.choice(("edit", "delete", "react", "react", "rename"))
            method, path, body = {
                "edit": ("PATCH", place, {"text": f"edited {number}"}),
                "delete": ("DELETE", place, None),
                "react": ("PUT", f"{place}/reactions/👍", None),
                "rename": ("PATCH", f"/v1/chats/{chat}", {"chat_name": f"renamed {act.number}.{number}"}),
            }[what]
            asker = Client(self.http, self.people["host"] if what == "rename" else actor)
            await self.ask(asker, choice.randrange(2), method, path, body, what=what)

    async def ask(
        self, client: Client, process: int, method: str, path: str, body: object, *, what: str, session: int = 0
    ) -> int:
        """Any other request, with its line in the journal; 0: no answer."""
        since = self.journal.lines
        try:
            answer = await client.asks(self.doors[process], method, path, body, seconds=5)  # type: ignore[arg-type]
        except AWAY:
            return 0
        code = answer.json.get("code", "") if answer.status >= 400 and isinstance(answer.json, dict) else ""
        self.journal.write(Asked(self.journal.now, since, session, process, what, answer.status, code))
        return answer.status

    # --- after the last act

    async def end(self) -> None:
        """Everybody hears the last words, wherever they are."""
        if not self.is_guest_in:
            await self.let_in_guest()
        host = Requester(self.client("host"), self.journal, self.doors, self.choice, on_ack=self.on_ack)
        for chat in self.chats:
            await host.say_all([Saying(LastWords(self.number()), chat)])
        with suppress(TimeoutError):
            async with asyncio.timeout(END_PATIENCE):
                while not all(one.is_at_end for one in self.witnesses):
                    await asyncio.sleep(0.02)
                await self.sleeper.wakes(self.last, END_PATIENCE)
                for leafer in self.leafers:
                    while await leafer.look():
                        pass
        for witness in self.witnesses:
            await witness.read_owed()

    async def leave(self) -> None:
        tasks = [*self.tasks, *self.looks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- faults: each answers who was hit, and since when they may acknowledge again

    async def kill_worker(self, fault: Fault) -> "Hit":
        self.processes[fault.process].kill_workers()
        return (fault.process,), time.monotonic()

    async def kill_server(self, fault: Fault) -> "Hit":
        process = self.processes[fault.process]
        since = time.monotonic()
        await asyncio.to_thread(process.kill)
        process.start()
        return (fault.process,), since

    async def kill_postgres(self, fault: Fault) -> "Hit":
        since = time.monotonic()
        await asyncio.to_thread(self.house.kill_postgres)
        return (0, 1), since

    async def stop_worker(self, fault: Fault) -> "Hit":
        await stopped(self.processes[fault.process].workers(), fault.seconds)
        return (fault.process,), time.monotonic()

    async def stop_backends(self, fault: Fault) -> "Hit":
        """Half of what serves clients there, whatever it holds at that moment."""
        postmaster = psutil.Process(int((self.house.cluster / "postmaster.pid").read_text().split()[0]))
        backends = [
            one for one in postmaster.children() if any("messenger messenger" in word for word in one.cmdline())
        ]
        self.choice.shuffle(backends)
        await stopped(backends[: (len(backends) + 1) // 2], fault.seconds)
        return (0, 1), time.monotonic()

    async def slow_line(self, fault: Fault) -> "Hit":
        await self.doors[fault.process].slowly(0.2, fault.seconds)
        return (fault.process,), time.monotonic()

    async def cut_line(self, fault: Fault) -> "Hit":
        self.doors[fault.process].cut()
        return (fault.process,), time.monotonic()

    async def silent_line(self, fault: Fault) -> "Hit":
        await self.doors[fault.process].in_mood(Mood.SILENT, fault.seconds)
        return (fault.process,), time.monotonic()

    async def swallow_answers(self, fault: Fault) -> "Hit":
        await self.doors[fault.process].in_mood(Mood.SWALLOWING, fault.seconds)
        return (fault.process,), time.monotonic()

    async def slow_base(self, fault: Fault) -> "Hit":
        await self.base.slowly(0.05, fault.seconds)
        return (1,), time.monotonic()

    async def cut_base(self, fault: Fault) -> "Hit":
        self.base.cut()
        return (1,), time.monotonic()

    async def silent_base(self, fault: Fault) -> "Hit":
        await self.base.in_mood(Mood.SILENT, fault.seconds)
        return (1,), time.monotonic()

    async def swallow_commits(self, fault: Fault) -> "Hit":
        """Long enough that those who wait are told `unavailable` although it was stored."""
        await self.base.in_mood(Mood.SWALLOWING, 1.1 + fault.seconds / 4)
        return (1,), time.monotonic()

    async def lose_doorbells(self, fault: Fault) -> "Hit":
        carrier = self.redis or self.base
        carrier.is_dropping = True
        await asyncio.sleep(fault.seconds)
        carrier.is_dropping = False
        return (0, 1), time.monotonic()

    async def cut_redis(self, fault: Fault) -> "Hit":
        assert self.redis is not None
        self.redis.cut()
        return (0, 1), time.monotonic()

    async def silence_redis(self, fault: Fault) -> "Hit":
        assert self.redis is not None
        await self.redis.in_mood(Mood.SILENT, fault.seconds)
        return (0, 1), time.monotonic()

    async def kill_redis(self, fault: Fault) -> "Hit":
        assert self.valkey is not None
        since = time.monotonic()
        self.valkey.kill()
        seconds = await self.recovery((0, 1), since)
        await asyncio.sleep(fault.seconds)  # without it, and acknowledging all the same
        self.valkey.start()
        return (), time.monotonic() - seconds

    async def restart_one_by_one(self, fault: Fault) -> "Hit":
        """As at an upgrade: a stop by SIGTERM, a start, and only then the next. The seconds are of the slower one."""
        longest = 0.0
        for process in (fault.process, 1 - fault.process):
            one, since = self.processes[process], time.monotonic()
            assert one.popen is not None
            one.popen.terminate()
            code = await asyncio.to_thread(one.popen.wait, 30)
            self.journal.write(Asked(self.journal.now, self.journal.lines, 0, process, "stop", 0, f"exit {code}"))
            one.start()
            longest = max(longest, await self.recovery((process,), since))
        return (), time.monotonic() - longest

    # --- people that go in the middle of it

    async def let_in_guest(self) -> None:
        """The unknown is asked again until it is known."""
        await self._membership(joins=True)
        self.is_guest_in = True

    async def _membership(self, *, joins: bool, process: int | None = None) -> None:
        guest, chat = self.people["guest"].user_id, self.chats[DOOR]
        members, host = f"/v1/chats/{chat}/members", self.client("host")
        while True:
            since = self.journal.lines
            at = self.choice.randrange(2) if process is None else process
            try:
                answer = await (
                    host.asks(self.doors[at], "POST", members, {"user_ids": [guest]}, seconds=5)  # type: ignore[arg-type]
                    if joins
                    else host.asks(self.doors[at], "DELETE", f"{members}/{guest}", seconds=5)  # type: ignore[arg-type]
                )
            except AWAY:
                await asyncio.sleep(0.1)
                continue
            record = Membership(self.journal.now, since, chat, int(guest), joins, answer.status)
            self.journal.write(record)
            if answer.status in {200, 201, 204, 404, 409}:  # the last two: an earlier try has done it
                return
            await asyncio.sleep(0.1)

    async def kick(self, fault: Fault) -> "Hit":
        """Somebody is removed in the middle of what is said and heard; the other process may be standing still."""
        chat, guest = self.chats[DOOR], self.client("guest")
        if not self.is_guest_in:
            await self.let_in_guest()
        speaker = self._speaker("guest", f"guest {self.own_number}")
        speaker.give(self._own(DOOR, 60, "removed"))
        speaking = asyncio.create_task(speaker.run())
        leafing = [asyncio.create_task(self._leaf(guest, process, chat)) for process in range(2)]
        with suppress(TimeoutError):
            async with asyncio.timeout(fault.seconds):
                await speaker.settled.wait()
        still = self.processes[1 - fault.process].workers() if fault.seconds > 1 else []
        for one in still:
            one.suspend()
        try:
            await self._membership(joins=False, process=fault.process)
            speaker.give(self._own(DOOR, 10, "removed"))
        finally:
            for one in still:
                with suppress(psutil.NoSuchProcess):
                    one.resume()
        since = time.monotonic()
        self.is_guest_in = False
        await asyncio.gather(*leafing)
        for process in range(2):
            await ask_page(guest, self.journal, self.doors, process, chat, first=1, limit=1000, reader="")
        with suppress(TimeoutError):
            async with asyncio.timeout(LIMIT):
                await speaker.settled.wait()
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        return (0, 1), since

    async def _leaf(self, guest: Client, process: int, chat: int) -> None:
        """Until it is refused."""
        until = time.monotonic() + LIMIT / 2
        while self.is_guest_in and time.monotonic() < until:
            await ask_page(guest, self.journal, self.doors, process, chat, first=1, limit=1000, reader="")
            await asyncio.sleep(0.02)

    def _own(self, chat: int, many: int, flaw: str = "") -> list[Saying]:
        return [Saying(Draft(self.number(), chat, 40, flaw), self.chats[chat]) for _ in range(many)]

    async def log_out(self, fault: Fault) -> "Hit":
        """A session ends in the middle of its own sends; the other process may be standing still."""
        signed_in = None
        while signed_in is None:
            with suppress(*AWAY, AssertionError):
                signed_in = await sign_in(self.processes[fault.process], self.people["leaver"].name)
        client = Client(self.http, signed_in)
        speakers = [
            Speaker(signed_in, self.journal, [door], self.plan.random(f"leaver {self.own_number} {number}"))
            for number, door in enumerate(self.doors)
        ]
        speaking = [asyncio.create_task(one.run()) for one in speakers]
        for one in speakers:
            one.give(self._own(1, 150, "ended"))
        with suppress(TimeoutError):
            async with asyncio.timeout(3):
                while not all(one.acked >= 20 for one in speakers):
                    await asyncio.sleep(0.005)
        session = speakers[0].session
        still = self.processes[1 - fault.process].workers() if fault.seconds > 1 else []
        for worker in still:
            worker.suspend()
        try:
            since = self.journal.lines
            answer = await client.asks(self.doors[fault.process], "POST", "/v1/auth/logout", seconds=5)  # type: ignore[arg-type]
            if answer.status == 200:
                self.journal.write(Ended(self.journal.now, since, session))
            for one in speakers:
                one.give(self._own(1, 20, "ended"))
        except AWAY:
            pass
        finally:
            for worker in still:
                with suppress(psutil.NoSuchProcess):
                    worker.resume()
        ended = time.monotonic()
        for process in range(2):
            await self.ask(client, process, "GET", "/v1/chats", None, what="look", session=session)
            for saying in self._own(1, 2, "ended"):
                asker = Requester(client, self.journal, self.doors, self.choice, session=session)
                await asker.say(saying, process)
        with suppress(TimeoutError):
            async with asyncio.timeout(15):
                await asyncio.gather(*speaking)
        for task in speaking:
            task.cancel()
        await asyncio.gather(*speaking, return_exceptions=True)
        return (0, 1), ended

    async def doubt(self, fault: Fault) -> "Hit":
        """Sends whose answers are swallowed after the commit, and told again on the other process."""
        speaker = self._speaker("doubter", f"doubter {self.own_number}", self.doubtful)
        speaker.window = DOUBTS_AT_ONCE
        speaking = asyncio.create_task(speaker.run())
        process, left = fault.process, self.plan.doubts_per_act
        while left > 0:
            some = self._own(1, min(left, DOUBTS_AT_ONCE))
            left -= len(some)
            await self._doubt(speaker, process, some)
            process = 1 - process
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        return (0, 1), time.monotonic()

    async def _doubt(self, speaker: Speaker, process: int, some: Sequence[Saying]) -> None:
        door = self.doubtful[process]
        await self._moves(speaker, door)
        door.mood = Mood.SWALLOWING
        speaker.give(some)
        await self._until_stored(some)
        keys = [one.draft.key for one in some]
        self.journal.write(Stored(self.journal.now, int(speaker.actor.user_id), self.chats[1], keys))
        speaker.doors = [self.doors[1 - process]]
        door.mood = Mood.OPEN
        door.cut()
        async with asyncio.timeout(LIMIT):
            await speaker.settled.wait()

    @staticmethod
    async def _moves(speaker: Speaker, door: Proxy) -> None:
        """Until it has a connection through this door, and was greeted."""
        speaker.doors = [door]

        async def is_there() -> bool:
            if speaker.pipe is not None and speaker.door is not door:
                speaker.pipe.abort("moves")
            return speaker.pipe is not None and speaker.door is door and speaker.is_greeted

        await happens(is_there, "a socket through the door", 10)

    async def _until_stored(self, some: Sequence[Saying]) -> None:
        connection = await asyncpg.connect(self.house.dsn)
        keys = [f"c:{one.draft.key}" for one in some]
        sender = int(self.people["doubter"].user_id)

        async def is_stored() -> bool:
            return bool(await connection.fetchval(STORED, some[0].chat, sender, keys) == len(keys))

        try:
            await happens(is_stored, "the commit of what was asked", 20)
        finally:
            connection.terminate()


@asynccontextmanager
async def staged(plan: Plan, journal: Journal, folder: Path) -> AsyncIterator[Stage]:
    """Everything that has to run, and nothing of it afterwards."""
    async with AsyncExitStack() as stack:
        house = House(folder)
        stack.push_async_callback(asyncio.to_thread, house.close)
        # The harness is a user of the database too: it stays while a whole server is away.
        lease = await asyncio.to_thread(PrivatePostgres.lease, folder / "data")
        stack.callback(lease.release)
        socket_file = f"{house.socket_folder}/{keeper.SOCKET}"

        async def proxy(one: Proxy) -> Proxy:
            stack.push_async_callback(one.close)
            return await one.start()

        base = await proxy(Proxy(to_file(socket_file), PostgresNotifications))
        settings = {"WIRE": plan.wire, "GUNICORN_GRACEFUL_TIMEOUT": "5"}
        valkey = redis = None
        if plan.wire == "redis":
            valkey = Valkey(folder).start()
            stack.callback(valkey.kill)
            redis = await proxy(Proxy(to_port(valkey.port), RedisPublishes))
            settings["REDIS_URL"] = f"redis://127.0.0.1:{redis.port}"
        url = f"postgresql://messenger@127.0.0.1:{base.port}/messenger?sslmode=disable"
        here = await house.process(**settings).ready()  # makes the schema
        there = await house.process(**settings, DATABASE_URL=url).ready()
        processes = here, there
        doors = [await proxy(Proxy(to_port(one.port), number=number)) for number, one in enumerate(processes)]
        doubtful = [await proxy(Proxy(to_port(one.port), number=number)) for number, one in enumerate(processes)]
        connector = aiohttp.TCPConnector(limit=0)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        )
        signed_up = await asyncio.gather(*(sign_up(processes[n % 2], [name]) for n, name in enumerate(PEOPLE)))
        people = {name: found[0] for name, found in zip(PEOPLE, signed_up, strict=True)}
        stage = Stage(
            house, plan, journal, processes, (doors[0], doors[1]), (doubtful[0], doubtful[1]), base, redis, valkey,
            people, http,
        )  # fmt: skip
        stack.push_async_callback(stage.leave)
        await stage.set_up()
        yield stage


Hit = tuple[Sequence[int], float]
STORED = "select count(*) from messages where chat_id = $1 and sender_id = $2 and key = any($3)"


@dataclass(frozen=True, slots=True)
class LastWords(Draft):
    chat: int = 0
    length: int = 0

    @property
    def text(self) -> str:
        return "the end"


async def stopped(processes: Sequence[psutil.Process], seconds: float) -> None:
    """SIGSTOP, and SIGCONT whatever happens."""
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        for one in processes:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGCONT)


FAULTS = {
    "kill worker": Stage.kill_worker,
    "kill server": Stage.kill_server,
    "kill postgres": Stage.kill_postgres,
    "stop worker": Stage.stop_worker,
    "stop backends": Stage.stop_backends,
    "slow line": Stage.slow_line,
    "cut line": Stage.cut_line,
    "silent line": Stage.silent_line,
    "swallowed answers": Stage.swallow_answers,
    "slow database": Stage.slow_base,
    "cut database": Stage.cut_base,
    "silent database": Stage.silent_base,
    "swallowed commits": Stage.swallow_commits,
    "lost doorbells": Stage.lose_doorbells,
    "cut redis": Stage.cut_redis,
    "silent redis": Stage.silence_redis,
    "kill redis": Stage.kill_redis,
    "rolling restart": Stage.restart_one_by_one,
    "kick": Stage.kick,
    "logout": Stage.log_out,
    "ambiguous": Stage.doubt,
}
