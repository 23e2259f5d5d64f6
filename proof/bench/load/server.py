"""One server that is measured: with its PostgreSQL pinned to some cores, and with the people of the load.

A child inherits the cores of its parent, and so do the workers, the keeper and PostgreSQL.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from proof.bench.load import people
from proof.bench.load.people import Person
from proof.lab.cluster import Cluster
from proof.lab.processes import Process, processes_of
from proof.lab.waiting import happens

PATIENCE = 120.0
READERS = 16
SERVER_CORES, TOOL_CORES, BOTH = (0,), (1,), (0, 1)
INDEXED = """
    select f.position = h.position from log_followers f, log_head h where f.name = 'search'
     order by h.position desc limit 1
"""


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


class Server(ABC):
    """`dialect`: what its sockets speak. `keeps_rows`: what it acknowledged is to be found in its table of messages."""

    def __init__(
        self, cluster: Cluster, cores: Sequence[int], *, dialect: str = "messenger", keeps_rows: bool = True
    ) -> None:
        self.cluster = cluster
        self.cores = cores
        self.dialect = dialect
        self.keeps_rows = keeps_rows
        self.process = self.new_process()
        self.people: list[Person] = []
        self.chats: list[int] = []
        self.groups: dict[int, int] = {}

    @abstractmethod
    def new_process(self) -> Process: ...

    @abstractmethod
    async def invite(self, number: int) -> list[Person]: ...

    @abstractmethod
    async def pair_up(self, cast: Sequence[Person]) -> list[int]: ...

    @abstractmethod
    async def gather(self, cast: Sequence[Person], name: str) -> int: ...

    async def open(self, number: int) -> None:
        await started(self.process, self.cores)
        self.people = await self.invite(number)

    async def pairs(self, number: int) -> list[dict[str, Any]]:
        """The first chats, the same ones at every call."""
        if len(self.chats) < number:
            self.chats += await self.pair_up(self.people[2 * len(self.chats) : 2 * number])
        return [
            {"chat_id": chat, "sender": one.token, "partner": other.token}
            for chat, one, other in zip(self.chats[:number], self.people[::2], self.people[1::2], strict=False)
        ]

    async def group(self, size: int) -> tuple[int, list[str]]:
        """Its id, and the tokens of its members: the last of the cast, so that none of them is in a pair as well."""
        members = self.people[-size:]
        if size not in self.groups:
            self.groups[size] = await self.gather(members, f"all {size}")
        return self.groups[size], [one.token for one in members]

    def families(self) -> dict[str, list[int]]:
        """Roots of what is counted: the server with its workers, PostgreSQL with its keeper."""
        assert self.process.popen is not None
        mine = {self.process.popen.pid, *(worker.pid for worker in self.process.workers())}
        postmaster = self.cluster.postmaster().pid
        others = [one.pid for one in processes_of(self.cluster.folder) if one.pid not in mine and one.pid != postmaster]
        return {**family(self.process), "postgres": [postmaster, *others]}


class Messenger(Server):
    """The product, everything at its defaults; or what was made of it."""

    def __init__(self, cluster: Cluster, cores: Sequence[int], kind: type[Process], settings: dict[str, str]) -> None:
        self._kind = kind
        # The level that production has: a line for each request. The lab asks for ERROR, which would flatter.
        self._settings = {"LOG_LEVEL": "INFO", **settings}
        self.past: list[int] = []
        super().__init__(cluster, cores, keeps_rows=kind is Process)

    def new_process(self) -> Process:
        process = self._kind(self.cluster.folder, self._settings)
        self.cluster.processes.append(process)
        return process

    async def invite(self, number: int) -> list[Person]:
        return await people.invite(self.cluster, self.process, number)

    async def pair_up(self, cast: Sequence[Person]) -> list[int]:
        return await people.pair_up(self.cluster, cast)

    async def gather(self, cast: Sequence[Person], name: str) -> int:
        return await people.gather(self.cluster, cast, name)

    async def histories(self, lengths: Sequence[int]) -> list[int]:
        """Chats that the first readers are in, with a past. The server begins anew after that was written behind its
        back, so that it has nothing of it in memory; and it is measured when the search index has followed, which
        would take as long as it takes from the first pages."""
        if not self.past:
            for length in lengths:
                readers = self.people[:READERS]
                chat = await self.gather(readers, f"past of {length}")
                await people.reminisce(self.cluster, chat, readers, length)
                self.past.append(chat)
            self.process.kill()
            await started(self.process, self.cores)
            await happens(self._is_indexed, "the search index", PATIENCE)
        return self.past

    async def _is_indexed(self) -> bool:
        async with self.cluster.connected() as connection:
            return bool(await connection.fetchval(INDEXED))
