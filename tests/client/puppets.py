"""Clients of messenger.js, played by one Node process and spoken to from here."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.actors import Person
from tests.sockets import SOON

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "messenger/apps/client/static/messenger.js"
PUPPET = Path(__file__).with_name("puppet.mjs")
OLDEST, WITH_SOCKETS = 20, 22  # before, they are behind a switch
LINE = 1 << 24

Json = dict[str, Any]


def find_node() -> tuple[str, ...]:
    """The command to run Node by; nothing where it is missing or too old."""
    path = shutil.which("node")
    if path is None:
        return ()
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.", said)
    if found is None or int(found[1]) < OLDEST:
        return ()
    return (path,) if int(found[1]) >= WITH_SOCKETS else (path, "--experimental-websocket", "--no-warnings")


NODE = find_node()
MISSING = f"Node.js {OLDEST} or later is not installed"


class ClientError(Exception):
    """What the client's promise was rejected with."""

    def __init__(self, error: Json) -> None:
        super().__init__(error["name"], error.get("code"), error["message"])
        self.name: str = error["name"]
        self.code: str | None = error.get("code")
        self.status: int | None = error.get("status")
        self.errors: list[Json] = error.get("errors", [])


class Stage:
    """The Node process and who plays there."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._puppets: dict[str, Puppet] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    @asynccontextmanager
    async def opened(cls) -> AsyncIterator["Stage"]:
        pipe = asyncio.subprocess.PIPE
        command = (*NODE, str(PUPPET), LIBRARY.as_uri())
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=LINE)
        stage = cls(process)
        try:
            yield stage
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await asyncio.wait_for(process.wait(), SOON)
            await stage._reader

    @asynccontextmanager
    async def plays(self, url: str, session: str = "", **options: Any) -> AsyncIterator["Puppet"]:
        """A new client, not started yet."""
        puppet = Puppet(self, f"puppet {next(self._numbers)}")
        self._puppets[puppet.name] = puppet
        await puppet.does("make", {"url": f"{url}/", "session": session, **options})
        try:
            yield puppet
        finally:
            await puppet.does("stop")

    @asynccontextmanager
    async def plays_for(self, person: Person, url: str = "", **options: Any) -> AsyncIterator["Puppet"]:
        """Somebody's device; started."""
        session = person.credentials["session_id"]
        async with self.plays(url or person.server.url, session, **options) as puppet:
            await puppet.does("start")
            yield puppet

    def ask(self, who: str, verb: str, words: tuple[Any, ...]) -> "asyncio.Future[Any]":
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        line = {"number": number, "who": who, "verb": verb, "words": words}
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        return answer

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "number" not in said:
                await self._puppets[said["who"]].notes(said)
                continue
            answer = self._asked.pop(said["number"])
            if "error" in said:
                answer.set_exception(ClientError(said["error"]))
            else:
                answer.set_result(said["result"])
        for answer in self._asked.values():
            answer.set_exception(EOFError("the Node process has gone"))


class Puppet:
    """One client: what it does, and what it was told."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.name = name
        self.events: list[Json] = []
        self.statuses: list[Json] = []
        self.syncs = 0
        self.signs: list[str] = []  # of its sockets: `resumed` and `pong`
        self._stage = stage
        self._news = asyncio.Condition()

    def does(self, verb: str, *words: Any) -> "asyncio.Future[Any]":
        """A method of Messenger with these arguments."""
        return self._stage.ask(self.name, verb, words)

    @property
    def phase(self) -> str:
        return str(self.statuses[-1]["phase"])

    @property
    def said(self) -> list[Json]:
        """The messages among the events, as they came."""
        return [event["message"] for event in self.events if event["type"] == "new_message"]

    async def gets(self, phase: str) -> Json:
        """The status, once it is in this phase."""
        await self.until(lambda: bool(self.statuses) and self.phase == phase, f"phase {phase}")
        return self.statuses[-1]

    async def is_lost(self, since: int) -> None:
        """It was online when it had been told of so many statuses; each later one tells of a loss first."""
        await self.until(lambda: len(self.statuses) > since, "loss")

    async def hears(self, kind: str, **fields: Any) -> Json:
        """The first event of this kind with these fields, whenever it came."""

        def found() -> list[Json]:
            return [one for one in self.events if one["type"] == kind and fields.items() <= one.items()]

        await self.until(lambda: bool(found()), f"{kind} {fields}")
        return found()[0]

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(SOON), self._news:
                await self._news.wait_for(is_so)
        except TimeoutError:
            raise AssertionError(
                f"no {what}; phases: {[one['phase'] for one in self.statuses]}, events: {self.events[-10:]}"
            ) from None

    async def notes(self, told: Json) -> None:
        async with self._news:
            if "event" in told:
                self.events.append(told["event"])
            elif "status" in told:
                self.statuses.append(told["status"])
            elif "sign" in told:
                self.signs.append(told["sign"])
            else:
                self.syncs += 1
            self._news.notify_all()
