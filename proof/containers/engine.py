"""The containers of a compose file, and what may be done to them."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
APIS = ("api1", "api2")
PATIENCE = 120.0


@dataclass(frozen=True)
class Compose:
    folder: Path = ROOT
    settings: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=self.folder, env={**os.environ, **self.settings}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}: {done.stderr[-2000:]}"
        return done.stdout

    @property
    def address(self) -> str:
        """Where nginx is reached from this machine."""
        return self.run("port", "nginx", "8080").strip().replace("0.0.0.0", "127.0.0.1")

    def container(self, service: str) -> str:
        return self.run("ps", "--all", "--quiet", service).strip()

    async def renew(self, service: str) -> float:
        """A new container takes the place of the old one, as after an update; the seconds until it is healthy."""
        began = time.monotonic()
        await asyncio.to_thread(self.run, "up", "--detach", "--no-deps", "--force-recreate", "--wait", service)
        return time.monotonic() - began

    async def kill(self, service: str) -> float:
        """SIGKILL to its first process, and with it all others. To Docker that is a crash, after which it starts the
        service anew; `docker kill` would be somebody's wish. The seconds until it is healthy again."""
        pid, _ = self._state(service)
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        while True:
            await asyncio.sleep(0.2)
            new, health = await asyncio.to_thread(self._state, service)
            if health == "healthy" and new not in {0, pid}:
                return time.monotonic() - began
            assert time.monotonic() - began < PATIENCE, f"{service} does not come back: {health}"

    def _state(self, service: str) -> tuple[int, str]:
        form = "{{.State.Pid}} {{.State.Health.Status}}"
        command = ["docker", "inspect", "--format", form, self.container(service)]
        pid, health = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return int(pid), health
