"""Results in Redis: a sorted set for each task, which expires with it. No longer than a second is waited for it.

A page is looked up before it is taken, so that what cannot be shown because the database is away stays. Who gets it is
decided by Redis alone: a script removes and answers what was really there.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from redis import asyncio as redis
from redis.exceptions import RedisError

from messenger.apps.search.schemas import LIFETIME, Match, Result, Task, Work
from messenger.db.database import Transaction
from messenger.db.statements import text
from messenger.errors import Unavailable

TIMEOUT = 1.0
# Who fetches holds the row of the task until its number is right again.
LOCK = "select hits from search_tasks where id = :task for no key update"
COUNT = "update search_tasks set hits = hits - :taken where id = :task"
TAKE = """
    local taken = {}
    for _, place in ipairs(ARGV) do
        if redis.call('zremrangebyscore', KEYS[1], place, place) == 1 then
            taken[#taken + 1] = place
        end
    end
    return taken
"""


class RedisResults:
    def __init__(self, url: str) -> None:
        self._client: redis.Redis[bytes] = redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        self._take = self._client.register_script(TAKE)

    async def keep(self, tx: Transaction, work: Work, found: Sequence[Match]) -> None:
        results = [Result(place, one.chat_id, one.message_id) for place, one in enumerate(found, 1)]
        await self._add(work, results, anew=True)

    async def is_lost(self, tx: Transaction, task: Task) -> bool:
        left = (await tx.session.execute(text(LOCK), {"task": task.task_id})).scalar_one_or_none()
        with answering():
            return (left or 0) > int(await self._client.zcard(key(task)))

    async def choose(self, tx: Transaction, task: Task, start: int, limit: int) -> list[Result]:
        with answering():
            found: list[Any] = await self._client.zrangebyscore(
                key(task), start, "+inf", start=0, num=limit, withscores=True
            )
        return [Result(int(place), *map(int, member.split(b":"))) for member, place in found]

    async def take(self, tx: Transaction, task: Task, chosen: Sequence[Result]) -> list[Result]:
        with answering():
            places = {int(place) for place in await self._take([key(task)], [one.place for one in chosen])}
        try:
            await tx.session.execute(text(COUNT), {"task": task.task_id, "taken": len(places)})
        except BaseException:
            await self.put_back(task, [one for one in chosen if one.place in places])
            raise
        return [one for one in chosen if one.place in places]

    async def put_back(self, task: Task, taken: Sequence[Result]) -> None:
        with suppress(Unavailable):  # then they are lost, and the task says so
            await self._add(task, taken)

    async def forget(self, tx: Transaction, tasks: Collection[Task]) -> None:
        if tasks:
            with suppress(Unavailable), answering():  # they expire, and are numbers only
                await self._client.delete(*map(key, tasks))

    async def close(self) -> None:
        with suppress(Exception):
            await self._client.connection_pool.disconnect(inuse_connections=True)

    async def _add(self, task: Task | Work, results: Sequence[Result], *, anew: bool = False) -> None:
        if not results:
            return
        members = {f"{one.chat_id}:{one.message_id}": one.place for one in results}
        with answering():
            async with self._client.pipeline(transaction=True) as pipe:
                if anew:
                    pipe.delete(key(task))
                pipe.zadd(key(task), members)
                pipe.expire(key(task), int(LIFETIME))
                await pipe.execute()


def key(task: Task | Work) -> str:
    """Each try has its own: what a late one found is not mixed with what counts."""
    return f"messenger:search:{task.task_id}:{task.attempt}"


@contextmanager
def answering() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable("The store of search results does not answer right now.", retry_after=1) from error
