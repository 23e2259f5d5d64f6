"""The C program beside this file: what one send() a delivery costs when nothing but the kernel takes part."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("floor.c")
BYTES = 300
COMPILERS = ("cc", "gcc", "clang")


class NoCompiler(Exception):
    """Python's own send() would be no floor, so then there is none."""


def compiled(folder: Path) -> Path:
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None:
        raise NoCompiler(f"none of {', '.join(COMPILERS)} is installed: the send() floor was not measured")
    program = folder / "floor"
    if not program.exists():
        subprocess.run([compiler, "-O2", "-o", str(program), str(SOURCE)], check=True)
    return program


async def measure(folder: Path, connections: int, seconds: float, sender_core: int, reader_core: int) -> dict[str, Any]:
    arguments = [str(one) for one in (connections, BYTES, seconds, sender_core, reader_core)]
    process = await asyncio.create_subprocess_exec(str(compiled(folder)), *arguments, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0, f"the floor program left with {process.returncode}"
    found: dict[str, Any] = json.loads(out)
    return {**found, "sends_per_s": found["sends"] / found["seconds"], "bytes": BYTES, "void": []}
