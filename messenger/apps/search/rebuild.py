"""The whole index made anew, a step at a time, beside servers that go on searching and following.

A step takes the follower's lock and reads under it, so what it writes is never older than what the follower wrote; and
after each step the follower has its turn. What is being said meanwhile is therefore found as soon as ever, within a
step. How far it has come is kept with the step: an interrupted run goes on from there.
"""

import asyncio
from collections.abc import Callable

from messenger.apps.search.schemas import Stretch
from messenger.apps.search.store import index as store
from messenger.db.database import Database
from messenger.errors import Unavailable
from messenger.identity import MAX_ID

AT_ONCE, FEWEST = 1000, 25  # messages in a step; fewer when a step takes longer than a statement may
MOST_FAILURES = 20  # in a row
PAUSE = 0.1

Progress = Callable[[int, int], None]  # how far of how many positions


async def rebuild(db: Database, progress: Progress, *, anew: bool = False) -> None:
    """`anew`: from the beginning, though an earlier run was interrupted."""
    if anew:
        async with db.transaction() as tx:
            await store.note_stretch(tx, None)
    most, failures, is_done = AT_ONCE, 0, False
    while True:
        try:
            if not is_done:
                stretch = await _step(db, most)
                is_done = stretch.upto is None
                progress(stretch.head if stretch.upto is None else stretch.upto, stretch.head)
            is_behind = await follow(db)
        except Unavailable:  # nothing was done: a step is all or nothing
            failures += 1
            if failures == MOST_FAILURES:
                raise
            most = max(most // 4, FEWEST)
            await asyncio.sleep(PAUSE)
            continue
        failures, most = 0, min(2 * most, AT_ONCE)
        if is_done and not is_behind:
            return


async def _step(db: Database, most: int) -> Stretch:
    async with db.transaction() as tx:
        await store.keep_others_out(tx)
        stretch = await store.find_stretch(tx, most)
        upto = MAX_ID if stretch.upto is None else stretch.upto
        await store.index_range(tx, stretch.after, upto)
        await store.renew_stems(tx, stretch.after, upto)
        await store.note_stretch(tx, stretch.upto)
    return stretch


async def mend(db: Database, messages: list[int]) -> None:
    """Indexes these few messages again."""
    async with db.transaction() as tx:
        await store.keep_others_out(tx)
        for one in messages:
            await store.index_range(tx, one - 1, one)


async def mend_words(db: Database, words: list[str]) -> None:
    """Learns these words again, and forgets those that nobody says."""
    async with db.transaction() as tx:
        await store.keep_others_out(tx)
        await store.learn(tx, words)
        await store.forget(tx, words)


async def follow(db: Database) -> bool:
    """A step of the follower. True: there is more to follow, and no other process does it."""
    async with db.transaction() as tx:
        return await store.follow(tx, AT_ONCE)
