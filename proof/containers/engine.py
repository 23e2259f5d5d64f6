"""The containers of this folder's compose file, and what may be done to them."""

import asyncio
import os
import signal
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


async def compose(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "docker", "compose", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complaints = await process.communicate()
    assert process.returncode == 0, f"docker compose {' '.join(arguments)}: {complaints.decode()[-2000:]}"
    return said.decode()


async def inspect(service: str, form: str) -> str:
    container = (await compose("ps", "--all", "--quiet", service)).strip()
    process = await asyncio.create_subprocess_exec(
        "docker", "inspect", "--format", form, container, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return said.decode().strip()


async def renew(service: str) -> float:
    """A new container takes the place of the old one, as after an update; the seconds until it is healthy."""
    began = time.monotonic()
    await compose("up", "--detach", "--no-deps", "--force-recreate", "--wait", service)
    return time.monotonic() - began


async def kill(service: str) -> float:
    """SIGKILL to its first process, and with it all others. To Docker it is a crash, after which it starts the service
    anew; `docker kill` would be somebody's wish. The seconds until it is healthy again."""
    pid = int(await inspect(service, "{{.State.Pid}}"))
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    while True:
        await asyncio.sleep(0.2)
        state = await inspect(service, "{{.State.Pid}} {{.State.Health.Status}}")
        if state.endswith(" healthy") and not state.startswith((f"{pid} ", "0 ")):
            return time.monotonic() - began
        assert time.monotonic() - began < 120, f"{service} does not come back: {state}"
