"""A data folder with its private PostgreSQL, and the server processes on it."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil  # type: ignore[import-untyped]

from messenger.db.private import keeper
from proof.lab.processes import Process, end_all, family, processes_of
from proof.lab.waiting import PATIENCE, STEP


class Cluster:
    """A data folder with its private PostgreSQL, and every process that was started on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        self._pairs: dict[str, tuple[Process, Process]] = {}

    def process(self, **settings: str) -> Process:
        one = Process(self.folder, settings)
        self.processes.append(one)
        return one.start()

    async def pair(self, **settings: str) -> tuple[Process, Process]:
        """Two processes with these settings; kept for the next test that asks, revived if it has to be."""
        name = json.dumps(settings, sort_keys=True)
        if name not in self._pairs:
            first = await self.process(**settings).ready()  # the first one makes cluster and schema
            self._pairs[name] = first, self.process(**settings)
        for one in self._pairs[name]:
            await (one if one.is_running else one.start()).ready()
        return self._pairs[name]

    @property
    def database_folder(self) -> Path:
        return self.folder / "data" / keeper.CLUSTER

    @property
    def dsn(self) -> str:
        return f"postgresql://messenger@/messenger?host={quote(str(self.socket_folder))}&port={keeper.PORT}"

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncpg.Connection]:
        """A look into the database past the servers."""
        connection = await asyncpg.connect(self.dsn)
        try:
            yield connection
        finally:
            await connection.close()

    @property
    def socket_folder(self) -> Path:
        note = self.folder / "data" / "run" / "socket-folder"
        return Path(note.read_text()) if note.exists() else note.parent

    def postmaster(self) -> psutil.Process:
        return psutil.Process(int((self.database_folder / "postmaster.pid").read_text().split()[0]))

    def meetings(self) -> list[Path]:
        """Where workers find the one that writes for them: locks and sockets."""
        return list((self.folder / "data" / "run").glob("writer-*"))

    def writers(self) -> set[int]:
        """Process ids: who holds such a lock, as the kernel says."""
        files = {str(file.stat().st_ino) for file in self.meetings() if file.suffix == ".lock"}
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        return {int(lock[4]) for lock in locks if lock[5].rpartition(":")[2] in files}

    def kill_postgres(self) -> None:
        """Postmaster and children, as at a crash of the machine under it."""
        postmaster = self.postmaster()
        with suppress(psutil.NoSuchProcess):
            postmaster.suspend()  # it must not start anybody while its children are counted
        for process in family(postmaster):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def close(self) -> None:
        for one in self.processes:
            one.kill()
        # Nobody uses the database now, and its keeper stops it; processes that are still there after that are killed.
        until = time.monotonic() + PATIENCE
        while (left := processes_of(self.folder)) and time.monotonic() < until:
            time.sleep(STEP)
        end_all(left)
        assert not left, f"the private PostgreSQL stayed behind: {left}"
