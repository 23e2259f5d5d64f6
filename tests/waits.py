"""Who waits for a lock in the database of a test. Others of the same cluster do not count, though a clone of the same
template has tables of the same numbers. Not asked of pg_stat_activity, which stays the same within a transaction.
"""

HERE = "database = (select oid from pg_database where datname = current_database())"
# Who waits for a row waits for a transaction, which belongs to no database; its other locks do.
WAITERS = f"""
    select distinct pid from pg_locks as waiting
     where not granted and exists (select from pg_locks as own where own.pid = waiting.pid and own.{HERE})
"""
SOMEBODY_WAITS = f"select exists ({WAITERS})"


def waiters_of(table: str) -> str:
    return f"select pid from pg_locks where not granted and relation = '{table}'::regclass and {HERE}"
