"""Begins a new epoch of the log by hand.

The server notices promotions, dumps and restores into another cluster by itself. It cannot notice a data directory that
was copied back, and cursors from after the copy would then point into another history.
"""

import argparse
import sys

from messenger.run.admin import context, epoch_store
from messenger.run.cli import OTHER, USAGE, Refusal
from messenger.settings import Config

WARNING = """\
All who were told of something later than the last common position load their state anew.
Do this after a data directory was put back by hand, not otherwise."""


def run(options: argparse.Namespace) -> int:
    if not options.yes:
        _ask()

    async def work(config: Config, dsn: str) -> int:
        async with context.open_database(dsn) as db, db.transaction() as tx:
            await epoch_store.take_head(tx)
            head = await epoch_store.get_head(tx)
            after = head.position if options.after is None else options.after
            if not head.epoch_began_after <= after <= head.position:
                raise Refusal(
                    USAGE,
                    f"--after={after} is not between {head.epoch_began_after}, where this epoch began, "
                    f"and the head {head.position}.",
                )
            epoch = await epoch_store.begin_epoch(tx, after)
        print(f"Epoch {epoch} begins; of epoch {head.epoch} everything up to position {after} holds.")
        return 0

    return context.run_with_database(work)


def _ask() -> None:
    if not sys.stdin.isatty():
        raise Refusal(OTHER, *WARNING.splitlines(), "To do it without being asked: messenger-admin new-epoch --yes")
    print(WARNING, file=sys.stderr)
    if input("Begin a new epoch? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise Refusal(OTHER, "Nothing was changed.")
