"""Makes the search index anew while servers run. apps/search/rebuild says why nothing is missed."""

import argparse
import sys
import time

from messenger.apps.search.rebuild import rebuild
from messenger.run.admin import context
from messenger.run.admin.progress import EVERY, estimate, percent
from messenger.settings import Config

EVERY_PERCENT = 10  # between two lines elsewhere


def run(options: argparse.Namespace) -> int:
    async def work(config: Config, dsn: str) -> int:
        began = time.monotonic()
        async with context.open_database(dsn) as db:
            await rebuild(db, ReindexProgress(), anew=options.anew)
        print(f"The search index is right up to the head of the log. {time.monotonic() - began:.1f} s")
        return 0

    try:
        return context.run_with_database(work)
    except KeyboardInterrupt:
        print("Interrupted; the next run goes on from here: messenger-admin reindex", file=sys.stderr)
        return 1


class ReindexProgress:
    """Progress on stderr: one changing line on a terminal, a few lines elsewhere."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: int | None = None
        self._said = 0.0

    def __call__(self, reached: int, head: int) -> None:
        done = percent(reached, head)
        first = self._first = reached if self._first is None else self._first
        if not sys.stderr.isatty():
            if done // EVERY_PERCENT > self._said or done == 100 > self._said * EVERY_PERCENT:  # noqa: PLR2004
                self._said = done // EVERY_PERCENT
                print(f"{done} %", file=sys.stderr)
            return
        now = time.monotonic()
        if now - self._said < EVERY and reached < head:
            return
        self._said = now
        line = estimate(reached, head, first, now - self._began)
        print(f"\r{line} ", end="\n" if reached >= head else "", file=sys.stderr, flush=True)
