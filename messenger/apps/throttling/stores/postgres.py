"""Buckets in an unlogged table: nothing of it reaches the write-ahead log, and a crash empties it."""

from collections.abc import Mapping
from typing import Any

import asyncpg

from messenger.apps.throttling.stores import KEPT, Spending, StoreLost
from messenger.db.connection import ConnectionLost, ReconnectingConnection

# In the order of the keys, so that workers that meet in a row wait for each other and never in a circle.
SPEND = """
    with clock as (select extract(epoch from statement_timestamp())::float8 as now)
    insert into limits as l (bucket, full_at, spent)
    select s.bucket, clock.now - s.age + s.spent, s.spent
      from unnest($1::text[], $2::float8[], $3::float8[]) as s(bucket, spent, age), clock
     order by s.bucket
        on conflict (bucket) do update
       set full_at = greatest(l.full_at, excluded.full_at - excluded.spent) + excluded.spent, spent = excluded.spent
    returning bucket, full_at - (select now from clock) as seconds
"""
SWEEP = "delete from limits where full_at < extract(epoch from statement_timestamp()) - $1"


class PostgresStore:
    def __init__(self, connection: ReconnectingConnection) -> None:
        self._connection = connection

    async def spend(self, spent: Mapping[str, Spending]) -> Mapping[str, float]:
        if not spent:
            return {}
        amounts = [one.seconds for one in spent.values()], [one.age for one in spent.values()]
        rows = await self._rows(SPEND, list(spent), *amounts)
        return {row["bucket"]: row["seconds"] for row in rows}

    async def sweep(self) -> None:
        await self._rows(SWEEP, KEPT)

    async def close(self) -> None:
        self._connection.close()

    async def _rows(self, statement: str, *arguments: object) -> list[Any]:
        try:
            return await self._connection.rows(statement, *arguments)
        except (ConnectionLost, asyncpg.PostgresError) as error:
            raise StoreLost(str(error)) from error
