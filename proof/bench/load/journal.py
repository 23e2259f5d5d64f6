"""What was acknowledged, against the database: after every load their number, after a soak key by key."""

from collections.abc import Iterable
from pathlib import Path

from proof.lab.cluster import Cluster

HEAD = "select coalesce(max(id), 0) from messages"
COUNT = "select count(*) from messages where id > $1"
ROWS = "select key, id, seq from messages where id > $1"


async def head(cluster: Cluster) -> int:
    async with cluster.connected() as connection:
        return int(await connection.fetchval(HEAD))


async def count(cluster: Cluster, after: int) -> int:
    async with cluster.connected() as connection:
        return int(await connection.fetchval(COUNT, after))


async def compare(cluster: Cluster, journal: Path, after: int) -> dict[str, int]:
    async with cluster.connected() as connection:
        rows = await connection.fetch(ROWS, after)
    return judged(((row["key"], row["id"], row["seq"]) for row in rows), journal)


def judged(rows: Iterable[tuple[str, int, int]], journal: Path) -> dict[str, int]:
    found: dict[str, list[tuple[int, int]]] = {}
    for key, message_id, seq in rows:
        found.setdefault(key, []).append((message_id, seq))
    lost = doubled = other = acked = 0
    for line in journal.read_text().splitlines():
        key, *told = line.split()
        stored = found.pop(key, [])
        acked += 1
        lost += not stored
        doubled += len(stored) > 1
        other += len(stored) == 1 and stored[0] != tuple(map(int, told))
    return {"acked": acked, "lost": lost, "doubled": doubled, "told_otherwise": other, "never_acked": len(found)}
