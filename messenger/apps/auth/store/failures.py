"""Statements about wrong passwords: how many there were, and how long to wait."""

from datetime import timedelta

from sqlalchemy import delete, func, insert, text

from messenger.apps.auth.limits import WINDOW, Bounds, LoginAttempt, Wait
from messenger.apps.auth.tables import LoginFailure
from messenger.db.database import Transaction

LOCK_TRIES = text("select pg_advisory_xact_lock(key) from (select unnest(cast(:keys as bigint[])) as key order by 1) k")


async def lock_tries(tx: Transaction, attempt: LoginAttempt) -> None:
    """Attempts at one account, and from one address, are judged one after the other; always locked in one order."""
    await tx.session.execute(LOCK_TRIES, {"keys": attempt.locks})


# The oldest failure that still counts against the bound decides when there is room again.
FIND_WAIT = text("""
    select
        (select extract(epoch from failed_at + make_interval(secs => :window) - statement_timestamp())
           from login_failures
          where account = :account and failed_at > statement_timestamp() - make_interval(secs => :window)
          order by failed_at desc offset :per_account - 1 limit 1),
        (select extract(epoch from failed_at + make_interval(secs => :window) - statement_timestamp())
           from login_failures
          where address = :address and failed_at > statement_timestamp() - make_interval(secs => :window)
          order by failed_at desc offset :per_network - 1 limit 1)
""")


async def find_wait(tx: Transaction, attempt: LoginAttempt, bounds: Bounds) -> Wait | None:
    """Until one more try is allowed; None: now."""
    given = {
        "window": float(WINDOW),
        "account": attempt.account,
        "address": attempt.network,
        "per_account": bounds.account.most,
        "per_network": bounds.network.most,
    }
    found = (await tx.session.execute(FIND_WAIT, given)).one()
    waits = [
        Wait(float(seconds), quota)
        for seconds, quota in zip(found, (bounds.account, bounds.network), strict=True)
        if seconds is not None
    ]
    return max(waits, key=lambda wait: wait.seconds, default=None)


async def add_failure(tx: Transaction, attempt: LoginAttempt) -> None:
    await tx.session.execute(insert(LoginFailure).values(account=attempt.account, address=attempt.network))


async def sweep_failures(tx: Transaction) -> None:
    await tx.session.execute(
        delete(LoginFailure).where(LoginFailure.failed_at < func.now() - timedelta(seconds=WINDOW))
    )
