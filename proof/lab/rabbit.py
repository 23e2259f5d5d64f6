"""A RabbitMQ of one's own: Debian's program in a private folder, which may be killed and started again.

The script below `lib` is run, because the one in `sbin` changes to an account and folders of the system.
"""

import asyncio
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import aio_pika
import psutil  # type: ignore[import-untyped]
import pytest
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from proof.lab.processes import Program, clean_environment, end_all, free_port
from proof.lab.waiting import happens

PATIENCE = 60.0
LAST_PORT = 65535
CONFIGURATION = """\
listeners.tcp.local = 127.0.0.1:{port}
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 10MB
log.console = true
log.console.level = error
log.file = false
"""
# Where several make one: they find each other by name, and the doctor asks one of them.
CLUSTERED = """\
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {first}
"""
ABOVE = 10_000  # the plugin's port


def program() -> Path | None:
    return next(iter(Path("/usr/lib/rabbitmq/bin").glob("rabbitmq-server")), None)


needs_rabbit = pytest.mark.skipif(program() is None, reason="needs Debian's rabbitmq-server: apt-get install it")


class Rabbit(Program):
    def __init__(self, folder: Path, mapper: int = 0, first: "Rabbit | None" = None) -> None:
        """`mapper`: the port of one that several nodes share; `first`: the node to join."""
        self.folder = folder
        self.port = free_port()
        while mapper and self.port + ABOVE >= LAST_PORT:
            self.port = free_port()
        self.name = f"messenger{self.port}@localhost"
        self._environment = {
            **clean_environment(),
            "HOME": str(folder),  # the cookie lies there
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(mapper or free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }
        settings = CONFIGURATION.format(port=self.port)
        if mapper:
            settings += CLUSTERED.format(management=self.port + ABOVE, first=(first or self).name)
        (folder / "rabbitmq.conf").write_text(settings)
        (folder / "plugins").write_text("[rabbitmq_management].\n" if mapper else "[].\n")

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> Self:
        self.spawn([str(program())], self.folder / "said", self._environment, self.folder)
        return self

    async def ready(self) -> Self:
        await happens(self._answers, "RabbitMQ", PATIENCE)
        return self

    async def _answers(self) -> bool:
        assert self.is_running, (self.folder / "said").read_text()[-2000:]
        with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
            async with await aio_pika.connect(self.url, timeout=2):
                return True
        return False

    def kill(self) -> None:
        """All of it at once, the port mapper included, which would stay behind as a daemon."""
        end_all(list(self._processes()))
        if self.popen is not None:
            self.popen.wait(PATIENCE)

    def _processes(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.environ().get("RABBITMQ_LOG_BASE") == str(self.folder):
                    yield process


class Rabbits(Program):
    """Three nodes of one RabbitMQ; what runs itself is the port mapper by which they find each other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mapper = free_port()
        self.nodes: list[Rabbit] = []
        cookie = secrets.token_hex(16)
        for number in range(3):
            home = folder / f"node{number}"
            home.mkdir()
            (home / ".erlang.cookie").write_text(cookie)
            (home / ".erlang.cookie").chmod(0o400)
            self.nodes.append(Rabbit(home, self.mapper, self.nodes[0] if self.nodes else None))

    @property
    def url(self) -> str:
        return ",".join(node.url for node in self.nodes)

    async def start(self) -> Self:
        command = ["epmd", "-port", str(self.mapper), "-address", "127.0.0.1"]
        self.spawn(command, self.folder / "mapper.log", clean_environment())
        await self.nodes[0].start().ready()
        await asyncio.gather(*(node.start().ready() for node in self.nodes[1:]))
        return self

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()
