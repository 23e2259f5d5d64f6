"""The journal of a soak against the database: each acknowledged key is one row, with the id and number it was told."""

from pathlib import Path
from typing import Any

import asyncpg

from bench.house import House

ROWS = "select key, id, seq from messages where id > $1"


async def head(house: House) -> int:
    connection = await asyncpg.connect(house.dsn)
    try:
        return int(await connection.fetchval("select max(position) from log_head"))
    finally:
        await connection.close()


async def compare(house: House, journal: Path, after: int) -> dict[str, Any]:
    connection = await asyncpg.connect(house.dsn)
    try:
        found: dict[str, list[tuple[int, int]]] = {}
        async with connection.transaction():
            async for row in connection.cursor(ROWS, after, prefetch=10_000):
                found.setdefault(row["key"], []).append((row["id"], row["seq"]))
    finally:
        await connection.close()
    lost = doubled = other = acked = 0
    for line in journal.read_text().splitlines():
        key, message_id, seq = line.split()
        rows = found.pop(key, [])
        acked += 1
        lost += not rows
        doubled += len(rows) > 1
        other += len(rows) == 1 and rows[0] != (int(message_id), int(seq))
    return {"acked": acked, "lost": lost, "doubled": doubled, "told_otherwise": other, "never_acked": len(found)}
