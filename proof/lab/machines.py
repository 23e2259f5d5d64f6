"""Three machines as processes, out of the files of deploy/ha: on each an etcd and a PostgreSQL under Patroni. A HAProxy
stands beside each server.
"""

import asyncio
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import asyncpg
import psutil  # type: ignore[import-untyped]
from cryptography.fernet import Fernet

from messenger.db.private import keeper
from messenger.db.private.binaries import choose
from proof.lab.processes import AWAY, ROOT, Process, Program, clean_environment, end_all, family, free_port
from proof.lab.waiting import happens

FILES = ROOT / "deploy" / "ha"
NODES = 3
FIRST_START = 90.0
HEALED = 120.0  # seconds until a machine that was lost follows the leader again
LOOK = 0.1


def program(name: str) -> str:
    """Beside this Python, on the path, or where Debian keeps servers."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
    found = shutil.which(name, path=places)
    assert found is not None, f"{name} is not installed"
    return found


class Etcd(Program):
    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder
        self.name = f"etcd{number}"
        self.clients, self.peers = free_port(), free_port()

    def start(self, cluster: str) -> None:
        environment = {
            **clean_environment(),
            "ETCD_NAME": self.name,
            "ETCD_DATA_DIR": str(self.folder / "etcd"),
            "ETCD_LISTEN_CLIENT_URLS": f"http://127.0.0.1:{self.clients}",
            "ETCD_ADVERTISE_CLIENT_URLS": f"http://127.0.0.1:{self.clients}",
            "ETCD_LISTEN_PEER_URLS": f"http://127.0.0.1:{self.peers}",
            "ETCD_INITIAL_ADVERTISE_PEER_URLS": f"http://127.0.0.1:{self.peers}",
            "ETCD_INITIAL_CLUSTER": cluster,
            "ETCD_LOGGER": "zap",
        }
        self.spawn([program("etcd")], self.folder / f"{self.name}.log", environment)


class Patroni(Program):
    """And the PostgreSQL that it runs."""

    def __init__(self, folder: Path, number: int, environment: dict[str, str]) -> None:
        self.folder = folder
        self.name = f"pg{number}"
        self.data = folder / "postgres"
        self.port, self.rest = free_port(), free_port()
        self.environment = {
            **environment,
            "PATRONI_NAME": self.name,
            "PATRONI_RESTAPI_LISTEN": f"127.0.0.1:{self.rest}",
            "PATRONI_RESTAPI_CONNECT_ADDRESS": f"127.0.0.1:{self.rest}",
            "PATRONI_POSTGRESQL_LISTEN": f"127.0.0.1:{self.port}",
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": f"127.0.0.1:{self.port}",
            "PATRONI_POSTGRESQL_DATA_DIR": str(self.data),
            "PATRONI_POSTGRESQL_PGPASS": str(folder / "pgpass"),
        }

    def start(self) -> None:
        command = [*keeper.disguise(), program("patroni"), "patroni.yml"]
        self.spawn(command, self.said, self.environment, FILES)

    @property
    def said(self) -> Path:
        """Of both: PostgreSQL prints where Patroni does."""
        return self.folder / f"{self.name}.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.rest}"

    def postgres(self) -> list[psutil.Process]:
        with suppress(FileNotFoundError, psutil.NoSuchProcess, IndexError, ValueError):
            postmaster = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
            if str(self.data) in postmaster.cmdline():
                return family(postmaster)
        return []


@dataclass(frozen=True, slots=True)
class Machine:
    etcd: Etcd
    patroni: Patroni

    def processes(self) -> list[psutil.Process]:
        return [*self.patroni.processes(), *self.patroni.postgres(), *self.etcd.processes()]


class Haproxy(Program):
    def __init__(self, folder: Path, patronis: Sequence[Patroni]) -> None:
        self.port = free_port()
        self.printed = folder / f"haproxy-{self.port}.log"
        self.environment = {
            **clean_environment(),
            "LISTEN": f"127.0.0.1:{self.port}",
            "HEALTH": f"127.0.0.1:{free_port()}",
        }
        for number, one in enumerate(patronis, 1):
            self.environment[f"PG{number}"] = f"127.0.0.1:{one.port}"
            self.environment[f"PG{number}_PATRONI"] = str(one.rest)

    def start(self) -> Self:
        self.spawn([program("haproxy"), "-f", str(FILES / "haproxy.cfg")], self.printed, self.environment)
        return self

    def dsn(self, user: str, password: str, name: str = "messenger") -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{name}?sslmode=disable"


@dataclass
class Machines:
    folder: Path
    http: aiohttp.ClientSession
    machines: list[Machine] = field(default_factory=list)
    haproxies: list[Haproxy] = field(default_factory=list)
    servers: list[Process] = field(default_factory=list)
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    key: str = field(default_factory=lambda: Fernet.generate_key().decode())  # of cookies: servers share it

    def __post_init__(self) -> None:
        folders = [self.folder / f"machine{number}" for number in range(1, NODES + 1)]
        for folder in folders:
            folder.mkdir()
        etcds = [Etcd(folder, number) for number, folder in enumerate(folders, 1)]
        bin_folder = choose(self.folder / "none").folder
        common = {
            **clean_environment(),
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PATRONI_ETCD3_HOSTS": ",".join(f"127.0.0.1:{one.clients}" for one in etcds),
            "PATRONI_POSTGRESQL_BIN_DIR": str(bin_folder),
            "PATRONI_SUPERUSER_PASSWORD": self.password,
            "PATRONI_REPLICATION_PASSWORD": self.password,
            "PATRONI_RESTAPI_USERNAME": "patroni",
            "PATRONI_RESTAPI_PASSWORD": self.password,
            "MESSENGER_PASSWORD": self.password,
        }
        for number, (folder, etcd) in enumerate(zip(folders, etcds, strict=True), 1):
            self.machines.append(Machine(etcd, Patroni(folder, number, common)))

    # --- starting and ending

    async def start(self, **dynamic: Any) -> Self:
        """`dynamic`: what differs from the file in Patroni's own configuration, such as `synchronous_mode`."""
        for machine in self.machines:
            self.start_machine(machine)
        await happens(self._has_leader, "a leader", FIRST_START)
        if dynamic:
            await self.configure(**dynamic)
        await self.healed()
        return self

    def start_machine(self, machine: Machine) -> None:
        """What runs there already goes on."""
        if not machine.etcd.is_running:
            cluster = ",".join(f"{one.etcd.name}=http://127.0.0.1:{one.etcd.peers}" for one in self.machines)
            machine.etcd.start(cluster)
        if not machine.patroni.is_running:
            machine.patroni.start()

    def haproxy(self) -> Haproxy:
        one = Haproxy(self.folder, [machine.patroni for machine in self.machines]).start()
        self.haproxies.append(one)
        return one

    def server(self, **settings: str) -> Process:
        """A server with a HAProxy and a data folder of its own, as on a machine of its own."""
        haproxy = self.haproxy()
        folder = self.folder / f"server{len(self.servers) + 1}"
        folder.mkdir()
        dsn = haproxy.dsn("messenger", self.password)
        one = Process(folder, {"DATABASE_URL": dsn, "SECRET_KEY": self.key, "MIGRATE_ON_START": "1", **settings})
        self.servers.append(one)
        return one.start()

    def close(self) -> None:
        for server in self.servers:
            server.kill()
        for haproxy in self.haproxies:
            end_all(haproxy.processes())
        for machine in self.machines:
            end_all(machine.patroni.processes())  # first, or it would start what ends
            end_all(machine.processes())

    # --- looking

    async def member(self, machine: Machine) -> dict[str, Any]:
        """What Patroni says of its PostgreSQL; empty where it does not answer."""
        with suppress(*AWAY, ValueError):
            timeout = aiohttp.ClientTimeout(total=1)
            async with self.http.get(f"{machine.patroni.url}/patroni", timeout=timeout) as answer:
                found: dict[str, Any] = await answer.json(content_type=None)
                return found
        return {}

    async def leader(self) -> Machine | None:
        for machine in self.machines:
            with suppress(*AWAY):
                timeout = aiohttp.ClientTimeout(total=1)
                async with self.http.get(f"{machine.patroni.url}/primary", timeout=timeout) as answer:
                    if answer.status == 200:
                        return machine
        return None

    async def _has_leader(self) -> bool:
        return await self.leader() is not None

    async def sure_leader(self, after: Machine | None = None) -> Machine:
        """Waits for it; `after`: for another one than this."""
        found: list[Machine] = []

        async def is_there() -> bool:
            leader = await self.leader()
            found.extend([leader] if leader not in {None, after} else [])
            return bool(found)

        await happens(is_there, "a leader", HEALED)
        return found[0]

    async def standbys(self) -> list[Machine]:
        leader = await self.sure_leader()
        return [one for one in self.machines if one is not leader]

    async def healed(self) -> None:
        """One leads, two follow it without a gap, and it waits for them where it shall."""

        async def is_so() -> bool:
            await asyncio.sleep(LOOK)
            leader = await self.leader()
            if leader is None:
                return False
            seen = await self.member(leader)
            streaming = [one for one in seen.get("replication", ()) if one["state"] == "streaming"]
            states = [(await self.member(one)).get("state") for one in self.machines]
            if len(streaming) != NODES - 1 or states != ["running"] * NODES:
                return False
            return await self.waits_for() == (NODES - 1 if await self._is_synchronous() else 0)

        await happens(is_so, "a whole cluster", HEALED)

    async def waits_for(self) -> int:
        """How many standbys the leader may wait for."""
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            async with self.connected() as connection:
                names = await connection.fetchval("show synchronous_standby_names")
                return sum(one.patroni.name in names for one in self.machines)
        return -1

    async def timeline(self) -> int:
        return int((await self.member(await self.sure_leader()))["timeline"])

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncpg.Connection]:
        """To the leader, past the HAProxies."""
        leader = await self.sure_leader()
        dsn = f"postgresql://postgres:{self.password}@127.0.0.1:{leader.patroni.port}/messenger"
        connection = await asyncpg.connect(dsn, timeout=5)
        try:
            yield connection
        finally:
            connection.terminate()

    # --- asking Patroni

    async def _is_synchronous(self) -> bool:
        return (await self.configuration()).get("synchronous_mode") not in {None, False, "off"}

    async def configuration(self) -> dict[str, Any]:
        async with self.http.get(f"{(await self.sure_leader()).patroni.url}/config") as answer:
            found: dict[str, Any] = await answer.json(content_type=None)
            return found

    async def configure(self, **dynamic: Any) -> None:
        await self._ask("PATCH", "config", dynamic)

    async def switch_over(self) -> None:
        """To whoever is ready for it."""
        leader = await self.sure_leader()
        await self._ask("POST", "switchover", {"leader": leader.patroni.name})

    async def _ask(self, method: str, what: str, body: dict[str, Any]) -> None:
        url = f"{(await self.sure_leader()).patroni.url}/{what}"
        account = {"Authorization": aiohttp.encode_basic_auth("patroni", self.password)}
        async with self.http.request(method, url, json=body, headers=account) as answer:
            said = await answer.text()
            assert answer.status in {200, 202}, said


@asynccontextmanager
async def running_machines(folder: Path, **dynamic: Any) -> AsyncIterator[Machines]:
    """All three, and nothing of them afterwards."""
    async with aiohttp.ClientSession() as http:
        machines = Machines(folder, http)
        try:
            yield await machines.start(**dynamic)
        finally:
            await asyncio.to_thread(machines.close)
