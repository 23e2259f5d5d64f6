"""pgbouncer as it is deployed, before any PostgreSQL, on a port of its own."""

from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg

from messenger.db.private import keeper
from proof.lab.processes import ROOT, Program, clean_environment, free_port
from proof.lab.waiting import happens

FILE = ROOT / "deploy" / "pgbouncer" / "pgbouncer.ini"
PASSWORD = "of a test"


class Pgbouncer(Program):
    def __init__(self, program: str, folder: Path, dsn: str) -> None:
        """`dsn`: of a database behind a Unix socket, whose user needs no password."""
        self.program = program
        self.folder = folder
        self.port = free_port()
        self._database = urlsplit(dsn)

    @property
    def dsn(self) -> str:
        return f"postgresql://messenger:{quote(PASSWORD)}@127.0.0.1:{self.port}/messenger"

    def start(self) -> Self:
        place = {name: values[0] for name, values in parse_qs(self._database.query).items()}
        changes = {
            "host=postgres port=5432 dbname=messenger": f"host={place['host']} port={place['port']} "
            f"dbname={self._database.path[1:]}",
            "listen_addr = *": "listen_addr = 127.0.0.1",
            "listen_port = 6432": f"listen_port = {self.port}",
            "/etc/pgbouncer/userlist.txt": str(self.folder / "userlist.txt"),
        }
        text = FILE.read_text()
        for old, new in changes.items():
            assert text.count(old) == 1, f"{old!r} is not there once"
            text = text.replace(old, new)
        (self.folder / "pgbouncer.ini").write_text(text)
        (self.folder / "userlist.txt").write_text(f'"messenger" "{PASSWORD}"\n')
        # It refuses to run as root, as PostgreSQL does.
        command = [*keeper.disguise(), self.program, str(self.folder / "pgbouncer.ini")]
        self.spawn(command, self.folder / "pgbouncer-said", clean_environment())
        return self

    async def ready(self) -> Self:
        async def answers() -> bool:
            assert self.is_running, (self.folder / "pgbouncer-said").read_text()
            try:
                connection = await asyncpg.connect(self.dsn, timeout=2, statement_cache_size=0)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return False
            connection.terminate()
            return True

        await happens(answers, "pgbouncer")
        return self
