"""The doctor's look at those who keep a copy: do they follow, do commits wait for them, what is kept for them?"""

from collections.abc import AsyncIterator

import asyncpg

from messenger.run.admin.finding import Finding

MIB = 1 << 20
FAR_BEHIND = 16 * MIB


async def ask_standbys(connection: asyncpg.Connection) -> AsyncIterator[Finding]:
    """Of the server that leads; nothing where it has none and expects none."""
    if await connection.fetchval("select pg_is_in_recovery()"):
        return
    standbys = await connection.fetch(STANDBYS)
    names = await connection.fetchval("show synchronous_standby_names")
    slots = await connection.fetch(SLOTS)
    if standbys or names:
        yield _standbys(standbys)
        yield _commits(standbys, names)
    for slot in slots:
        yield _slot(slot)


def _standbys(standbys: list[asyncpg.Record]) -> Finding:
    if not standbys:
        return Finding("standbys", False, "none is connected", "Start them, or see what they say in their logs")
    if any(one["state"] is None for one in standbys):
        seen = f"{len(standbys)}, how far behind this account may not see"
        return Finding("standbys", False, seen, "As a superuser: grant pg_monitor to this account;")
    seen = ", ".join(f"{one['name']} {one['state']}, {one['behind'] / MIB:.1f} MiB behind" for one in standbys)
    slow = [one for one in standbys if one["state"] != "streaming" or one["behind"] > FAR_BEHIND]
    return Finding("standbys", not slow, seen, "Look at their disks, network and logs" if slow else "")


def _commits(standbys: list[asyncpg.Record], names: str) -> Finding:
    if not names:
        seen = "synchronous_standby_names is empty: what is acknowledged may rest on one disk"
        return Finding(
            "commits", False, seen, "patronictl edit-config --set synchronous_mode=quorum, or set it by hand"
        )
    if not standbys:
        return Finding("commits", False, f"wait for {names}, and nobody is there", "Start a standby: nobody can write")
    return Finding("commits", True, f"wait for {names}")


def _slot(slot: asyncpg.Record) -> Finding:
    seen = f"{slot['name']} keeps {(slot['kept'] or 0) / MIB:.1f} MiB of the log"
    if slot["is_lost"]:
        return Finding(
            "slot", False, f"{slot['name']} has lost what it needs", "Make that standby anew: patronictl reinit"
        )
    if not slot["active"]:
        remedy = f"Start the standby {slot['name']}, or: select pg_drop_replication_slot('{slot['name']}');"
        return Finding("slot", False, f"{seen} for nobody", remedy)
    return Finding("slot", True, seen)


STANDBYS = """
    select coalesce(application_name, '?') as name, state,
           pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint as behind
      from pg_stat_replication where state is distinct from 'backup' order by name
"""
SLOTS = """
    select slot_name::text as name, active, coalesce(wal_status, '') = 'lost' as is_lost,
           pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint as kept
      from pg_replication_slots where slot_type = 'physical' order by name
"""
