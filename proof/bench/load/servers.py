"""The servers that are measured: with their PostgreSQL pinned to some cores, the load generator to others.

A child inherits the cores of its parent, and so do the workers, the keeper and PostgreSQL.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from messenger.settings import Config
from proof.bench.load import profile
from proof.bench.load.people import Person, gather, invite, pair_up, reminisce
from proof.lab.cluster import Cluster
from proof.lab.processes import ROOT, Process, clean_environment, processes_of
from proof.lab.waiting import happens

PATIENCE = 120.0
PEOPLE = 2000
READERS = 16
SERVER_CORES, TOOL_CORES, BOTH = (0,), (1,), (0, 1)
WARM = 0.5  # seconds of load before the clock runs
INDEXED = """
    select f.position = h.position from log_followers f, log_head h where f.name = 'search'
     order by h.position desc limit 1
"""
SETTLE = 0.3  # after the last socket opened: each is live when its first page was read


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def family(process: Process) -> dict[str, list[int]]:
    assert process.popen is not None
    return {"server": [process.popen.pid]}


async def started(process: Process, cores: Sequence[int] = SERVER_CORES) -> Process:
    with on_cores(cores):
        process.start()
    return await process.ready()


class Null(Process):
    module = "proof.bench.baselines.null"


SEARCHLESS = ",".join(name for name in Config.apps if name != "search")
SERVERS: dict[str, tuple[Sequence[int], type[Process], dict[str, str]]] = {
    "product": (SERVER_CORES, Process, {}),
    # No database at all: the doorbells of the wire go through it too.
    "null": (SERVER_CORES, Null, {"WIRE": "none"}),
    "two processes": (BOTH, Process, {"WORKERS_NUM": "2"}),
    # What following the log into the search index costs beside the sends.
    "without search": (SERVER_CORES, Process, {"APPS": SEARCHLESS}),
}


class Bare(Process):
    module = "proof.bench.baselines.bare"


class Server:
    """A cluster with one server, everything at its defaults, and the people of the load."""

    def __init__(self, folder: Path, cores: Sequence[int], *, kind: type[Process], **settings: str) -> None:
        folder.mkdir()
        self.cluster = Cluster(folder)
        self.cores = cores
        self._kind = kind
        # The level that production has: a line for each request. The lab asks for ERROR, which would flatter.
        self._settings = {"LOG_LEVEL": "INFO", **settings}
        self.process = self.new_process()
        self.people: list[Person] = []
        self.chats: list[int] = []
        self.groups: dict[int, int] = {}
        self.past: list[int] = []

    def new_process(self) -> Process:
        process = self._kind(self.cluster.folder, self._settings)
        self.cluster.processes.append(process)
        return process

    async def open(self, people: int) -> None:
        await started(self.process, self.cores)
        self.people = await invite(self.cluster, self.process, people)

    async def pairs(self, number: int) -> list[dict[str, Any]]:
        """The first chats, the same ones at every call."""
        if len(self.chats) < number:
            self.chats += await pair_up(self.cluster, self.people[2 * len(self.chats) : 2 * number])
        return [
            {"chat_id": chat, "sender": one.token, "partner": other.token}
            for chat, one, other in zip(self.chats[:number], self.people[::2], self.people[1::2], strict=False)
        ]

    async def group(self, size: int) -> tuple[int, list[str]]:
        """Its id, and the tokens of its members: the last of the cast, so that none of them is in a pair as well."""
        members = self.people[-size:]
        if size not in self.groups:
            self.groups[size] = await gather(self.cluster, members, f"all {size}")
        return self.groups[size], [one.token for one in members]

    async def histories(self, lengths: Sequence[int]) -> list[int]:
        """Chats that the first readers are in, with a past. The server begins anew after that was written behind its
        back, so that it has nothing of it in memory; and it is measured when the search index has followed, which
        would take as long as it takes from the first pages."""
        if not self.past:
            for length in lengths:
                readers = self.people[:READERS]
                chat = await gather(self.cluster, readers, f"past of {length}")
                await reminisce(self.cluster, chat, readers, length)
                self.past.append(chat)
            self.process.kill()
            await started(self.process, self.cores)
            await happens(self._is_indexed, "the search index", PATIENCE)
        return self.past

    async def _is_indexed(self) -> bool:
        async with self.cluster.connected() as connection:
            return bool(await connection.fetchval(INDEXED))

    def families(self) -> dict[str, list[int]]:
        """Roots of what is counted: the server with its workers, PostgreSQL with its keeper."""
        assert self.process.popen is not None
        mine = {self.process.popen.pid, *(worker.pid for worker in self.process.workers())}
        postmaster = self.cluster.postmaster().pid
        others = [one.pid for one in processes_of(self.cluster.folder) if one.pid not in mine and one.pid != postmaster]
        return {**family(self.process), "postgres": [postmaster, *others]}


class Servers:
    """Every server of a run, opened when it is first needed and kept to the end: rounds then measure the same ones."""

    def __init__(self, folder: Path, seconds: float, *, scale: float = 1.0, profiles: bool = False) -> None:
        self.folder = folder
        self.seconds = seconds
        self.profiles = profiles  # say after each part where the server's time went
        self.scale = scale  # of the numbers of people: smaller for a quick try
        self._servers: dict[str, Server] = {}
        self._bare: Process | None = None

    def sized(self, number: int) -> int:
        return max(2, round(number * self.scale))

    async def named(self, name: str) -> Server:
        if name not in self._servers:
            cores, kind, settings = SERVERS[name]
            one = self._servers[name] = Server(self.folder / name, cores, kind=kind, **settings)
            await one.open(self.sized(PEOPLE))
        return self._servers[name]

    async def bare(self) -> Process:
        if self._bare is None:
            self._bare = await started(Bare(self.folder, {}))
        return self._bare

    @asynccontextmanager
    async def fresh(self, name: str) -> AsyncIterator[Process]:
        """A process that has done nothing yet: what others have freed would hide what these take."""
        process = Bare(self.folder, {}) if name == "bare" else (await self.named(name)).new_process()
        try:
            yield await started(process)
        finally:
            process.kill()

    async def load(
        self, kind: str, process: Process, families: dict[str, list[int]], cores: Sequence[int] = TOOL_CORES,
        patience: float = PATIENCE, **spec: Any,
    ) -> dict[str, Any]:  # fmt: skip
        whole = {
            "kind": kind, "host": "127.0.0.1", "port": process.port, "families": families, "watchers": [],
            "warm": min(WARM, self.seconds / 2), "settle": SETTLE, "seconds": self.seconds, **spec,
        }  # fmt: skip
        if not self.profiles:
            return await generate(whole, cores, patience)
        # The workers, one by one; after the warm-up, so without the opening of the sockets.
        pids = [one.pid for one in process.workers()] or families["server"]
        whole["watchers"] = profile.watchers(pids, self.seconds, self.folder)
        found = await generate(whole, cores, patience)
        print(profile.table(self.folder), file=sys.stderr)
        return found

    def close(self) -> None:
        if self._bare is not None:
            self._bare.kill()
        for one in self._servers.values():
            one.cluster.close()


async def generate(spec: dict[str, Any], cores: Sequence[int], patience: float) -> dict[str, Any]:
    """One run of the load generator."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proof.bench.load.generator", cwd=ROOT,
        env={**clean_environment(), "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(patience):
            out, _ = await process.communicate(json.dumps({**spec, "cores": list(cores)}).encode())
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, f"the generator left with {process.returncode}"
    answer: dict[str, Any] = json.loads(out)
    return answer
