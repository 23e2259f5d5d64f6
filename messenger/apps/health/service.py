"""The checks of what this process needs to serve."""

from messenger.apps.health import store
from messenger.apps.health.pulse import Beat
from messenger.db import schema
from messenger.db.database import Database, translated


async def database(db: Database) -> Beat:
    """Through the pool, the way every request goes."""
    async with db.reading() as tx:
        is_standby = await store.is_standby(tx)
    return Beat(False, "is a standby, which takes no writes") if is_standby else Beat(True, "answers")


def read_migrations() -> None:
    """Takes some milliseconds, so it is done at the start, and no probe holds up other requests."""
    schema.revisions()


async def schema_fits(db: Database) -> Beat:
    """A newer schema is fine where it says so: during a rolling update the older version still serves."""
    with translated():
        found = await schema.state(db.dsn)
    if found.is_behind or found.is_unreleased:
        return Beat(False, "behind; run messenger-db upgrade head")
    if found.is_ahead:
        return Beat(False, "newer than this version can live with; start a newer one")
    if found.move is not None:
        return Beat(False, "moved to another place")
    return Beat(True, "newer than this version" if found.is_newer else "up to date")
