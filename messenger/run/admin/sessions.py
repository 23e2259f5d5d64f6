"""Lists and ends the sessions of a person through their service, so sockets close and the audit records it."""

import argparse
import json
import sys
from collections.abc import Sequence

from messenger.apps.auth import sessions
from messenger.apps.auth.context import AuthContext
from messenger.apps.auth.values import SessionFilter, SessionInfo
from messenger.identity import SessionId
from messenger.run.admin import context, people
from messenger.run.admin.context import BY_HAND
from messenger.run.admin.people import Person
from messenger.run.cli import OTHER, Refusal
from messenger.settings import Config


def run(options: argparse.Namespace) -> int:
    async def work(config: Config, dsn: str) -> int:
        async with context.open_database(dsn) as db, context.open_auth(config, db) as auth:
            person = await people.get(db, options.person)
            if options.action == "list":
                return show(person, await sessions.list_open(auth, person.identity), as_json=options.json)
            return await revoke(auth, person, None if options.all else options.session)

    return context.run_with_database(work)


def show(person: Person, found: Sequence[SessionInfo], *, as_json: bool) -> int:
    rows = [one.as_answer() for one in found]
    if as_json:
        print(json.dumps({"user_id": str(person.user_id), "user_name": person.name, "sessions": rows}))
        return 0
    print(f"{person.name} (user {person.user_id}) has {len(rows)} sessions", file=sys.stderr)
    for row in rows:
        device = row["device_name"] or row["client_id"] or "unnamed device"
        print(f"{row['id']:>8}  seen {row['last_seen_at']}  since {row['created_at']}  {device}")
    return 0


async def revoke(auth: AuthContext, person: Person, wanted: Sequence[int] | None) -> int:
    """`wanted`: None for all. If one of them does not exist, none is ended."""
    which = (
        [SessionFilter()] if wanted is None else [SessionFilter(only=SessionId(one)) for one in dict.fromkeys(wanted)]
    )
    ended = 0
    async with auth.db.transaction() as tx:
        for one in which:
            found = await sessions.end(tx, person.user_id, one, BY_HAND, why="revoked by the operator")
            if one.only is not None and not found:
                raise Refusal(
                    OTHER,
                    f"{person.name} has no open session {one.only}; nothing was ended.",
                    f"See: messenger-admin sessions list {person.user_id}",
                )
            ended += len(found)
    print(f"Ended {ended} sessions of {person.name} (user {person.user_id}).")
    return 0
