"""S4: sockets that were opened, greeted, and then say nothing."""

import asyncio
from typing import Any

from proof.bench.load import meter
from proof.bench.load.dialects import DIALECTS
from proof.bench.load.meter import Meter
from proof.bench.load.sockets import Socket, open_all


async def measure(spec: dict[str, Any]) -> dict[str, Any]:
    server, dialect = spec["families"]["server"], DIALECTS[spec["dialect"]]

    async def opened(tokens: list[str]) -> list[Socket]:
        return await open_all(spec, tokens, lambda number: Socket(dialect))

    # What is only made once (imports, statements, buffers) is no socket's share.
    for socket in await opened(spec["tokens"][: spec["first"]]):
        socket.transport.abort()
    await asyncio.sleep(spec["settle"])
    before = meter.memory(server)
    opening = Meter(spec["families"])
    sockets = await opened(spec["tokens"])
    used = opening.read()
    await asyncio.sleep(spec["settle"])
    after = meter.memory(server)
    found = {
        "sockets": len(sockets),
        "kib_a_socket": (after - before) / 1024 / len(sockets),
        "before_mib": before / 2**20,
        "after_mib": after / 2**20,
        "cpu_ms_an_opening": {name: 1e3 * one / len(sockets) for name, one in used.families.items()},
        "openings_per_s": len(sockets) / used.seconds,
        "tool_share": used.tool,
        "others_share": used.others,
        "tool_bound": False,
    }
    if spec["watched"]:
        watching = Meter(spec["families"])
        await asyncio.sleep(spec["watched"])
        quiet = watching.read()
        found["idle_share"] = {name: one / quiet.seconds for name, one in quiet.families.items()}
        found["others_share"] = quiet.others
    found["void"] = [f"{lost} sockets were lost"] if (lost := sum(socket.is_lost for socket in sockets)) else []
    for socket in sockets:
        socket.transport.abort()
    return found
