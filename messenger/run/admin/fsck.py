"""Recounts everything and names what is damaged; with --fix it repairs what can be derived from the rest.

Damage is searched in one snapshot on a connection of its own: a server may run meanwhile, and a large database may take
longer than any request may. Repairs are short transactions under the usual locks.
"""

import argparse
import json
import sys
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from messenger.apps.auth.context import AuthContext
from messenger.db.database import translated
from messenger.run.admin import context, repair
from messenger.run.admin.damage import KINDS, DamageKind
from messenger.settings import Config

AT_ONCE = 500  # rows that are fetched together
SHOWN = 5  # examples of a kind, for people
MOST_ROWS = 2000  # of a kind that are kept: shown to programs, and repaired together
MOST_ROUNDS = 1000
LOST = "missing positions"


@dataclass(slots=True)
class Damage:
    """All of one kind; `rows` are the first of them."""

    kind: DamageKind
    count: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def sentences(self, most: int) -> list[str]:
        return [self.kind.sentence.format_map(row) for row in self.rows[:most]]


def run(options: argparse.Namespace) -> int:
    async def work(config: Config, dsn: str) -> int:
        began = time.monotonic()
        found = first = await find_damage(dsn)
        repaired: dict[str, int] = {}
        if options.fix:
            found = await fix(config, dsn, first)
            left = {one.kind.name: one.count for one in found}
            repaired = {one.kind.name: one.count - left.get(one.kind.name, 0) for one in first}
        if options.json:
            print(json.dumps(as_json(found, repaired), default=str))
        else:
            print_damage(first, repaired, is_fixed=options.fix)
            print(verdict(found, time.monotonic() - began), file=sys.stderr if found else sys.stdout)
        return 1 if found else 0

    return context.run_with_database(work)


@asynccontextmanager
async def snapshot(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    with translated():
        connection = await asyncpg.connect(
            dsn, timeout=5, server_settings={"application_name": "messenger fsck", "timezone": "UTC", "jit": "off"}
        )
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        finally:
            connection.terminate()


async def find_damage(dsn: str, kinds: Collection[DamageKind] = KINDS) -> list[Damage]:
    async with snapshot(dsn) as connection:
        found = [await _find_kind(connection, kind) for kind in kinds]
    return [one for one in found if one.count]


async def _find_kind(connection: asyncpg.Connection, kind: DamageKind) -> Damage:
    damage = Damage(kind)
    async for row in connection.cursor(kind.find, prefetch=AT_ONCE):
        damage.count += 1
        if len(damage.rows) < MOST_ROWS:
            damage.rows.append(dict(row))
    return damage


async def fix(config: Config, dsn: str, found: Sequence[Damage]) -> list[Damage]:
    """Each round repairs all that was found and searches again; rounds go on while the damage becomes less."""
    async with context.open_database(dsn) as db, context.open_auth(config, db) as auth:
        for _ in range(MOST_ROUNDS):
            before = sum(one.count for one in found)
            nothing_lost = all(one.kind.name != LOST for one in found)
            await repair.repair(auth, {one.kind: one.rows for one in found}, nothing_lost=nothing_lost)
            for one in found:
                if one.kind.repair and one.count > len(one.rows):
                    await _repair_rest(dsn, auth, one.kind, nothing_lost=nothing_lost)
            found = await find_damage(dsn)
            if not any(one.kind.repair for one in found) or sum(one.count for one in found) >= before:
                break
    return list(found)


async def _repair_rest(dsn: str, auth: AuthContext, kind: DamageKind, *, nothing_lost: bool) -> None:
    """Repairs damage beyond the rows that are kept, while finding it: a full recount per batch would take too long."""
    async with snapshot(dsn) as connection:
        cursor = await connection.cursor(kind.find)
        while rows := await cursor.fetch(MOST_ROWS):
            await repair.repair(auth, {kind: rows}, nothing_lost=nothing_lost)


def as_json(found: Sequence[Damage], repaired: dict[str, int]) -> dict[str, Any]:
    return {
        "clean": not found,
        "repaired": repaired,
        "damage": [
            {
                "kind": one.kind.name,
                "count": one.count,
                "repairable": one.kind.repair is not None,
                "sentences": one.sentences(MOST_ROWS),
                "rows": one.rows,
            }
            for one in found
        ],
    }


def print_damage(found: Sequence[Damage], repaired: dict[str, int], *, is_fixed: bool) -> None:
    for one in found:
        print(f"{one.kind.name}: {one.count} damaged")
        for sentence in one.sentences(SHOWN):
            print(f"  {sentence}")
        if one.count > SHOWN:
            print(f"  … and {one.count - SHOWN} more; all that is kept of them: messenger-admin fsck --json")
        if is_fixed and (done := repaired.get(one.kind.name, 0)) > 0:
            print(f"  Repaired: {done}.")
        if is_fixed and repaired.get(one.kind.name, 0) < one.count:
            print(f"  Not repaired: {one.count - repaired.get(one.kind.name, 0)}. {one.kind.remedy}")
        elif not is_fixed:
            print("  To repair it: messenger-admin fsck --fix" if one.kind.repair else f"  {one.kind.remedy}")


def verdict(found: Sequence[Damage], seconds: float) -> str:
    if not found:
        return f"Clean: {len(KINDS)} kinds of damage were looked for. {seconds:.1f} s"
    return f"Damaged: {sum(one.count for one in found)} times, of {len(found)} kinds. {seconds:.1f} s"
