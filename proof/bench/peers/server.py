"""Each peer as a server of the load: its process, its database, its people."""

import asyncio
import hashlib
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from messenger.db.private import keeper
from messenger.db.private.cluster import DATABASE, USER, PrivatePostgres
from proof.bench.load.people import Person
from proof.bench.load.server import SERVER_CORES, Server, on_cores
from proof.bench.peers import installed
from proof.lab.cluster import Cluster
from proof.lab.processes import ROOT, Process, clean_environment

HERE = Path(__file__).parent
SCHEMA = HERE / "schema.sql"
PEOPLE = "insert into people (token_hash) select * from unnest($1::bytea[]) returning id"
CHATS = "insert into chats (created_at) select now() from generate_series(1, $1::int) returning id"
MEMBERS = "insert into members (chat_id, person_id) select * from unnest($1::bigint[], $2::bigint[])"


def socketio() -> tuple[list[str], dict[str, str]]:
    node, modules = installed.node_modules()
    return [node, str(HERE / "socketio.js")], {"NODE_PATH": str(modules), "NODE_ENV": "production"}


def fastapi() -> tuple[list[str], dict[str, str]]:
    return [str(installed.python()), str(HERE / "fastapi_chat.py")], {}


def probe() -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "proof.bench.peers.probe"], {"PYTHONPATH": str(ROOT)}


Command = Callable[[], tuple[list[str], dict[str, str]]]
PEERS: dict[str, tuple[Command, str]] = {  # how each is started, and what it speaks
    "probe": (probe, "messenger"),
    "socket.io": (socketio, "socket.io"),
    "FastAPI": (fastapi, "messenger"),
}


class PeerCluster(Cluster):
    """A PostgreSQL of its own, made and tuned as the product's. No peer starts one, so it is leased here."""

    _lease: PrivatePostgres | None = None

    async def make(self) -> None:
        self._lease = await asyncio.to_thread(self._leased)
        async with self.connected() as connection:
            await connection.execute(SCHEMA.read_text())

    def _leased(self) -> PrivatePostgres:
        with on_cores(SERVER_CORES):  # of this thread
            return PrivatePostgres.lease(self.folder / "data")

    def close(self) -> None:
        for one in self.processes:  # who would come back while PostgreSQL stops
            one.kill()
        if self._lease is not None:
            self._lease.release()
        super().close()


class PeerProcess(Process):
    def __init__(self, cluster: Cluster, command: Command) -> None:
        super().__init__(cluster.folder, {})
        self._cluster = cluster
        self._command = command

    def start(self) -> Self:
        command, more = self._command()
        environment = {
            **clean_environment(), **more, "HOST": "127.0.0.1", "PORT": str(self.port),
            "PGHOST": str(self._cluster.socket_folder), "PGPORT": str(keeper.PORT), "PGUSER": USER,
            "PGDATABASE": DATABASE,
        }  # fmt: skip
        self.spawn(command, self.folder / f"said-{self.port}", environment, self.folder)
        return self


class Peer(Server):
    def __init__(self, name: str, folder: Path) -> None:
        self._command, dialect = PEERS[name]
        self._cluster = PeerCluster(folder)
        super().__init__(self._cluster, SERVER_CORES, dialect=dialect)

    def new_process(self) -> Process:
        process = PeerProcess(self._cluster, self._command)
        self.cluster.processes.append(process)
        return process

    async def open(self, number: int) -> None:
        await asyncio.to_thread(self._command)  # installs what it needs
        await self._cluster.make()
        await super().open(number)

    async def invite(self, number: int) -> list[Person]:
        tokens = [secrets.token_hex(16) for _ in range(number)]
        digests = [hashlib.sha256(one.encode()).digest() for one in tokens]
        async with self.cluster.connected() as connection:
            rows = await connection.fetch(PEOPLE, digests)
            await connection.execute("analyze people")
        return [Person(row["id"], token) for row, token in zip(rows, tokens, strict=True)]

    async def pair_up(self, cast: Sequence[Person]) -> list[int]:
        pairs = list(zip(cast[::2], cast[1::2], strict=True))
        return await self._chats([list(pair) for pair in pairs])

    async def gather(self, cast: Sequence[Person], name: str) -> int:
        [chat] = await self._chats([cast])
        return chat

    async def _chats(self, casts: Sequence[Sequence[Person]]) -> list[int]:
        async with self.cluster.connected() as connection:
            chats = [int(row["id"]) for row in await connection.fetch(CHATS, len(casts))]
            seats = [(chat, one.user_id) for chat, people in zip(chats, casts, strict=True) for one in people]
            await connection.execute(MEMBERS, [chat for chat, _ in seats], [person for _, person in seats])
            await connection.execute("analyze chats, members")
        return chats
