"""What PostgreSQL does with one row a commit: pgbench (C, prepared) into a table like `messages` with all its indexes.

pgbench is the one beside the private PostgreSQL's programs, else one that is installed. Where there is none the same
load comes from asyncpg, slower as a client; the figures then carry that name.
"""

import asyncio
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

from messenger.db.private import keeper
from messenger.db.private.binaries import choose
from proof.bench.load.meter import Meter
from proof.bench.load.tally import quantile
from proof.lab.cluster import Cluster
from proof.lab.processes import clean_environment

TABLE = "drop table if exists bench_rows; create table bench_rows (like messages including all)"
INSERT = """
    insert into bench_rows (chat_id, seq, id, sender_id, key, body_hash, text, sent_at)
    values ({chat}, {number}, {chat} * 100000000 + {number}, {chat}, 'c:0123abcd-' || {number}, {number}, '{text}',
            now())
"""
TEXT = "x" * 100
SCRIPT = "\\set n :n + 1\n" + " ".join(
    INSERT.format(chat="(:client_id + 1)::bigint", number=":n::bigint", text=TEXT).split()
)
TPS = re.compile(r"tps = ([\d.]+)")


def find_pgbench(cluster: Cluster) -> str | None:
    beside = choose(cluster.database_folder).folder / "pgbench"
    return str(beside) if beside.exists() else shutil.which("pgbench")


async def measure(
    cluster: Cluster, families: dict[str, list[int]], clients: int, seconds: float, cores: tuple[int, ...]
) -> dict[str, Any]:
    """`cores`: of the client; where PostgreSQL runs was decided when it was started."""
    async with cluster.connected() as connection:
        await connection.execute(TABLE)
    pgbench = find_pgbench(cluster)
    meter = Meter(families)
    if pgbench is None:
        rate, latencies = await with_asyncpg(cluster, clients, seconds)
    else:
        rate, latencies = await with_pgbench(pgbench, cluster, clients, seconds, cores)
    await asyncio.sleep(0.3)  # until the postmaster has buried the backends: their seconds are then its own
    used = meter.read()
    rows = rate * seconds
    ordered = sorted(latencies)
    return {
        "tool": "asyncpg" if pgbench is None else "pgbench",
        "rows_per_s": rate,
        "p50_ms": quantile(ordered, 0.5) * 1e3 if ordered else None,
        "p99_ms": quantile(ordered, 0.99) * 1e3 if ordered else None,
        "postgres_us_a_row": 1e6 * used.families["postgres"] / rows,
        "others_share": None,  # the client's own share cannot be told apart here
        "void": [],
    }


async def with_pgbench(
    pgbench: str, cluster: Cluster, clients: int, seconds: float, cores: tuple[int, ...]
) -> tuple[float, list[float]]:
    with tempfile.TemporaryDirectory() as place:
        script = Path(place) / "insert.sql"
        script.write_text(SCRIPT)
        own_log = ["--log", f"--log-prefix={place}/times"] if clients == 1 else []
        process = await asyncio.create_subprocess_exec(
            "taskset", "-c", ",".join(map(str, cores)),
            pgbench, "--no-vacuum", "--protocol=prepared", f"--client={clients}", f"--jobs={min(clients, len(cores))}",
            f"--time={max(1, round(seconds))}", "--define=n=0", f"--file={script}", *own_log,
            f"--host={cluster.socket_folder}", f"--port={keeper.PORT}", "--username=messenger", "messenger",
            env=clean_environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        found = TPS.search(out.decode())
        assert process.returncode == 0 and found is not None, out.decode()
        times = [
            int(line.split()[2]) / 1e6 for file in Path(place).glob("times.*") for line in file.read_text().splitlines()
        ]
        return float(found[1]), times


async def with_asyncpg(cluster: Cluster, clients: int, seconds: float) -> tuple[float, list[float]]:
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def insert(chat: int) -> None:
        connection = await asyncpg.connect(cluster.dsn)
        statement = await connection.prepare(INSERT.format(chat="$1::bigint", number="$2::bigint", text=TEXT))
        number = 0
        while (began := time.perf_counter()) < until:
            number += 1
            await statement.fetch(chat, number)
            latencies.append(time.perf_counter() - began)
        with suppress(OSError):
            await connection.close()

    await asyncio.gather(*(insert(chat) for chat in range(1, clients + 1)))
    return len(latencies) / seconds, latencies
