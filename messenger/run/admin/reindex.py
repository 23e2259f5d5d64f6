"""Makes the search index anew while servers run. apps/search/rebuild says why nothing is missed."""

import argparse
import sys
import time

from messenger.apps.search.rebuild import rebuild
from messenger.run.admin import context
from messenger.settings import Config

EVERY = 0.5  # seconds between two lines on a terminal
EVERY_PERCENT = 10  # between two lines elsewhere


def run(options: argparse.Namespace) -> int:
    async def work(config: Config, dsn: str) -> int:
        began = time.monotonic()
        async with context.open_database(dsn) as db:
            await rebuild(db, ProgressLine(), anew=options.anew)
        print(f"The search index is right up to the head of the log. {time.monotonic() - began:.1f} s")
        return 0

    try:
        return context.run_with_database(work)
    except KeyboardInterrupt:
        print("Interrupted; the next run goes on from here: messenger-admin reindex", file=sys.stderr)
        return 1


class ProgressLine:
    """Progress on stderr: one changing line on a terminal, a few lines elsewhere."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: int | None = None
        self._said = 0.0

    def __call__(self, reached: int, head: int) -> None:
        percent = 100 if head == 0 else min(100, 100 * reached // head)
        first = self._first = reached if self._first is None else self._first
        if not sys.stderr.isatty():
            if percent // EVERY_PERCENT > self._said or percent == 100 > self._said * EVERY_PERCENT:  # noqa: PLR2004
                self._said = percent // EVERY_PERCENT
                print(f"{percent} %", file=sys.stderr)
            return
        now = time.monotonic()
        if now - self._said < EVERY and reached < head:
            return
        self._said = now
        left = (head - reached) * (now - self._began) / (reached - first) if reached > first else 0
        print(
            f"\r{percent:3} %  about {left:.0f} s left ",
            end="\n" if reached >= head else "",
            file=sys.stderr,
            flush=True,
        )
