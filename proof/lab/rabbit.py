"""A RabbitMQ of one's own: Debian's program in a private folder, which may be killed and started again.

The script below `lib` is run, because the one in `sbin` changes to an account and folders of the system.
"""

import os
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
CONFIGURATION = """\
listeners.tcp.local = 127.0.0.1:{port}
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 10MB
log.console = true
log.console.level = error
log.file = false
"""


def program() -> Path | None:
    return next(iter(Path("/usr/lib/rabbitmq/bin").glob("rabbitmq-server")), None)


needs_rabbit = pytest.mark.skipif(program() is None, reason="needs Debian's rabbitmq-server: apt-get install it")


class Rabbit(Program):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._environment = {
            **clean_environment(),
            "HOME": str(folder),  # the cookie lies there
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_NODENAME": f"messenger{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }
        (folder / "rabbitmq.conf").write_text(CONFIGURATION.format(port=self.port))
        (folder / "plugins").write_text("[].\n")

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
