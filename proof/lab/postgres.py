"""A PostgreSQL that is run by hand, and its standbys."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self
from urllib.parse import quote

import asyncpg
import psutil  # type: ignore[import-untyped]

from messenger.db.private import keeper
from messenger.db.private.binaries import choose
from messenger.db.schema import upgrade
from proof.lab.processes import Program, clean_environment, end_all, family
from proof.lab.waiting import PATIENCE, happens


class Postgres(Program):
    """A PostgreSQL that a test runs by hand: its data can be copied, promoted and put in another's place."""

    def __init__(self, data: Path, door: Path) -> None:
        self.data = data
        self.door = door
        self.bin = choose(data).folder

    @property
    def dsn(self) -> str:
        return f"postgresql://messenger@/postgres?host={quote(str(self.door))}&port=5432"

    @classmethod
    def made(cls, folder: Path) -> Self:
        one = cls(folder / "original", folder / "door")
        one._run("initdb", "-D", str(one.data), "-U", "messenger", "--auth=trust", "--no-sync")
        return one

    def start(self, door: Path | None = None) -> Self:
        self.door = door or self.door
        self.door.mkdir(mode=0o700, exist_ok=True)
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self.door}", "-c", "port=5432"]
        command = [*keeper.disguise(), str(self.bin / "postgres"), "-D", str(self.data), *options]
        self.spawn(command, self.data.with_suffix(".log"), clean_environment())
        return self

    @asynccontextmanager
    async def running(self, *, schema: bool = False) -> AsyncIterator[Self]:
        """Until the end of the block; `schema`: with the product's tables."""
        try:
            await self.start().ready()
            if schema:
                await asyncio.to_thread(upgrade, self.dsn)
            yield self
        finally:
            self.kill()

    def kill(self) -> None:
        if self.popen is not None:
            if self.popen.poll() is None:
                end_all(family(psutil.Process(self.popen.pid)))
            self.popen.wait()
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def copied(self, name: str, *, follows: bool = False) -> "Postgres":
        """A physical copy taken while it runs. It starts as a standby that waits for more of the log, or `follows`."""
        target = self.data.parent / name
        self._run(
            "pg_basebackup", "-D", str(target), "-h", str(self.door), "-U", "messenger", "-c", "fast", "--no-sync"
        )
        (target / "standby.signal").touch()
        if follows:
            place = f"host={self.door} port=5432 user=messenger application_name={name}"
            with (target / "postgresql.auto.conf").open("a") as settings:
                settings.write(f"primary_conninfo = '{place}'\n")
        return Postgres(target, self.data.parent / f"door-{name}")

    async def ready(self) -> Self:
        async def answers() -> bool:
            assert self.is_running, self.data.with_suffix(".log").read_text()
            try:
                connection = await asyncpg.connect(self.dsn, timeout=2)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return False
            connection.terminate()
            return True

        await happens(answers, f"PostgreSQL in {self.data.name}")
        return self

    def promote(self) -> None:
        """From here on its log is its own, on a new timeline."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "promote")

    async def wait_for_standby(self, name: str) -> None:
        """Its commits wait for the standby of this name from here on; with "" for none."""
        connection = await asyncpg.connect(self.dsn)
        await connection.execute(f"alter system set synchronous_standby_names = '{name}'")
        await connection.execute("select pg_reload_conf()")
        connection.terminate()

        async def is_set() -> bool:
            """New connections know the setting when the server has read it."""
            connection = await asyncpg.connect(self.dsn)
            names = await connection.fetchval("show synchronous_standby_names")
            connection.terminate()
            return bool(names == name)

        await happens(is_set, "the new setting")
        # The checkpointer tells those that are connected, and it looks for news before each checkpoint.
        connection = await asyncpg.connect(self.dsn)
        await connection.execute("checkpoint")
        await connection.close()

    def _run(self, program: str, *arguments: str) -> None:
        command = [*keeper.disguise(), str(self.bin / program), *arguments]
        done = subprocess.run(command, capture_output=True, env=clean_environment(), check=False, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr.decode()
