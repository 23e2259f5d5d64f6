"""Buckets in Redis, for many machines; by the clock of Redis, in one step for a whole lot of them."""

from collections.abc import Mapping
from contextlib import suppress

from redis import asyncio as redis
from redis.exceptions import RedisError

from messenger.apps.throttling.stores import KEPT, Spending, StoreLost

PREFIX = "messenger:limits:"
PATIENCE = 1.0
# Moments in microseconds. Answers are text: of a fraction Redis would hand out the whole part only.
SPEND = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local found = {}
for number, key in ipairs(KEYS) do
    local spent, age = tonumber(ARGV[2 * number - 1]), tonumber(ARGV[2 * number])
    local full_at = math.max(now - age, tonumber(redis.call('GET', key) or '') or 0) + spent
    local kept = math.ceil((full_at - now) / 1000) + KEPT
    if kept > 0 then
        redis.call('SET', key, string.format('%.0f', full_at), 'PX', kept)
    end
    found[number] = string.format('%.0f', full_at - now)
end
return found
""".replace("KEPT", str(int(KEPT * 1000)))


class RedisStore:
    def __init__(self, url: str) -> None:
        self._client: redis.Redis[bytes] = redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
        self._script = self._client.register_script(SPEND)

    async def spend(self, spent: Mapping[str, Spending]) -> Mapping[str, float]:
        if not spent:
            return {}
        amounts = [round(seconds * 1e6) for one in spent.values() for seconds in (one.seconds, one.age)]
        try:
            found = await self._script(keys=[PREFIX + bucket for bucket in spent], args=amounts)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreLost(str(error)) from error
        return {bucket: int(left) / 1e6 for bucket, left in zip(spent, found, strict=True)}

    async def sweep(self) -> None:
        """Redis forgets by itself."""

    async def close(self) -> None:
        with suppress(Exception):
            await self._client.connection_pool.disconnect(inuse_connections=True)
