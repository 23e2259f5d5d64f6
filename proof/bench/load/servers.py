"""Every server of a run, and the load generator that is let loose on them, on a core of its own."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from messenger.settings import Config
from proof.bench.load import journal, profile
from proof.bench.load.server import BOTH, PATIENCE, SERVER_CORES, TOOL_CORES, Messenger, Server, started
from proof.bench.peers.installed import NotInstalled
from proof.bench.peers.server import PEERS, Peer
from proof.lab.cluster import Cluster
from proof.lab.processes import ROOT, Process, clean_environment

PEOPLE = 2000
WARMING = 32  # people who send before a server is measured
WARM = 0.5  # seconds of load before the clock runs
SETTLE = 0.3  # after the last socket opened: each is live when its first page was read


class Null(Process):
    module = "proof.bench.baselines.null"


class Bare(Process):
    module = "proof.bench.baselines.bare"


SEARCHLESS = ",".join(name for name in Config.apps if name != "search")
MESSENGERS: dict[str, tuple[Sequence[int], type[Process], dict[str, str]]] = {
    "product": (SERVER_CORES, Process, {}),
    # No database at all: the doorbells of the wire go through it too.
    "null": (SERVER_CORES, Null, {"WIRE": "none"}),
    # Both have the same two cores, and share them with the load.
    "one process": (BOTH, Process, {"WORKERS_NUM": "1"}),
    "two processes": (BOTH, Process, {"WORKERS_NUM": "2"}),
    # What following the log into the search index costs beside the sends.
    "without search": (SERVER_CORES, Process, {"APPS": SEARCHLESS}),
}


class Servers:
    """Each is opened when it is first needed and kept to the end: rounds then measure the same ones."""

    def __init__(
        self, folder: Path, seconds: float, *, scale: float = 1.0, profiles: bool = False, people: int = PEOPLE
    ) -> None:
        self.folder = folder
        self.seconds = seconds
        self.profiles = profiles  # say after each part where the server's time went
        self.scale = scale  # of the numbers of people: smaller for a quick try
        self._people = people
        self._servers: dict[str, Server] = {}
        self._opened: list[Server] = []  # those that failed as well
        self._warm: set[str] = set()
        self._missing: dict[str, str] = {}  # peers that cannot be had here, and why
        self._bare: Process | None = None

    def sized(self, number: int) -> int:
        return max(2, round(number * self.scale))

    async def named(self, name: str) -> Server:
        if name in self._missing:
            raise NotInstalled(self._missing[name])
        if name not in self._servers:
            one = self._new(name)
            self._opened.append(one)
            try:
                await one.open(self.sized(self._people))
            except NotInstalled as reason:
                self._missing[name] = str(reason)
                raise
            self._servers[name] = one
        return self._servers[name]

    async def warm(self, name: str) -> Server:
        """Nobody is measured cold: Node compiles what runs often, and PostgreSQL keeps a plan after some."""
        one = await self.named(name)
        if name not in self._warm:
            self._warm.add(name)
            await self.measure("sends", one, pairs=await one.pairs(self.sized(WARMING)))
        return one

    async def product(self) -> Messenger:
        one = await self.named("product")
        assert isinstance(one, Messenger)
        return one

    def _new(self, name: str) -> Server:
        folder = self.folder / name
        folder.mkdir()
        if name in PEERS:
            return Peer(name, folder)
        cores, kind, settings = MESSENGERS[name]
        return Messenger(Cluster(folder), cores, kind, settings)

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

    async def measure(
        self, kind: str, server: Server, cores: Sequence[int] = TOOL_CORES, **spec: Any
    ) -> dict[str, Any]:
        """A load that sends: what it was acknowledged must be there as rows afterwards."""
        before = await journal.head(server.cluster)
        found = await self.load(kind, server.process, server.families(), cores, dialect=server.dialect, **spec)
        if server.keeps_rows and (rows := await journal.count(server.cluster, before)) != found["acked"]:
            found["void"].append(f"{found['acked']} acknowledged, {rows} rows")
        return found

    async def load(
        self, kind: str, process: Process, families: dict[str, list[int]], cores: Sequence[int] = TOOL_CORES,
        patience: float = PATIENCE, **spec: Any,
    ) -> dict[str, Any]:  # fmt: skip
        whole = {
            "kind": kind, "host": "127.0.0.1", "port": process.port, "families": families, "watchers": [],
            "warm": min(WARM, self.seconds / 2), "settle": SETTLE, "seconds": self.seconds, "dialect": "messenger",
            **spec,
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
        for one in self._opened:
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
