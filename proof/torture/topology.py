"""What has to run: the product's processes, their database, the proxies before and between them, the people signed up.

Two processes on one private PostgreSQL. The first owns it as a user of its data folder, the second reaches it over TCP
through a proxy; everybody outside comes in through a proxy before each of them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from messenger.db.private import keeper
from messenger.db.private.cluster import PrivatePostgres
from proof.lab.cluster import Cluster
from proof.lab.crowd import Actor, Client, sign_up
from proof.lab.processes import Process
from proof.lab.proxy import Dropper, PostgresNotifications, Proxy, RedisPublishes, Side, to_file, to_port
from proof.lab.redis import Valkey


@dataclass(frozen=True, slots=True)
class Topology:
    cluster: Cluster
    processes: tuple[Process, Process]
    doors: tuple[Proxy, Proxy]  # before each process
    swallowing: tuple[Proxy, Proxy]  # the same, for those whose answers are swallowed
    base: Proxy  # before the database, for the second process
    redis: Proxy | None
    valkey: Valkey | None
    http: aiohttp.ClientSession
    people: dict[str, Actor]

    def client(self, name: str) -> Client:
        return Client(self.http, self.people[name])


@asynccontextmanager
async def running_topology(wire: str, workers: int, folder: Path, names: list[str]) -> AsyncIterator[Topology]:
    """All of it, and nothing of it afterwards."""
    async with AsyncExitStack() as stack:

        async def proxy(
            connect: "Callable[[Callable[[], Side]], asyncio.Future[object]]",
            make_dropper: Callable[[], Dropper | None] = lambda: None,
            number: int = 0,
        ) -> Proxy:
            one = await Proxy(connect, make_dropper, number=number).start()
            stack.push_async_callback(one.close)
            return one

        cluster = Cluster(folder)
        stack.push_async_callback(asyncio.to_thread, cluster.close)
        # The harness is a user of the database too: it stays while a whole server is away.
        lease = await asyncio.to_thread(PrivatePostgres.lease, folder / "data")
        stack.callback(lease.release)
        base = await proxy(to_file(f"{cluster.socket_folder}/{keeper.SOCKET}"), PostgresNotifications)
        settings = {"WIRE": wire, "WORKERS_NUM": str(workers), "GUNICORN_GRACEFUL_TIMEOUT": "5"}
        valkey = redis = None
        if wire == "redis":
            valkey = Valkey(folder).start()
            stack.callback(valkey.kill)
            redis = await proxy(to_port(valkey.port), RedisPublishes)
            settings["REDIS_URL"] = f"redis://127.0.0.1:{redis.port}"
        here = await cluster.process(**settings).ready()  # makes the schema
        url = f"postgresql://messenger@127.0.0.1:{base.port}/messenger?sslmode=disable"
        there = cluster.process(**settings, DATABASE_URL=url)
        signing_up = asyncio.gather(*(sign_up(here, [name]) for name in names))
        await there.ready()
        signed_up = await signing_up
        doors, swallowing = [
            (await proxy(to_port(here.port)), await proxy(to_port(there.port), number=1)) for _ in range(2)
        ]
        connector = aiohttp.TCPConnector(limit=0)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        )
        people = {name: actors[0] for name, actors in zip(names, signed_up, strict=True)}
        yield Topology(cluster, (here, there), doors, swallowing, base, redis, valkey, http, people)
