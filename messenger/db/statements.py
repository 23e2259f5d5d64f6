"""Statements prepared once, since SQLAlchemy takes most of its time to put them into words again."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import sqlalchemy
from sqlalchemy import Select, TextClause
from sqlalchemy.dialects.postgresql import asyncpg


@lru_cache(maxsize=1024)
def text(statement: str) -> TextClause:
    """A statement written as SQL; its parameters are looked for once."""
    return sqlalchemy.text(statement)


class CompiledQuery:
    """A plain read that goes to the driver directly, for a tenth of what a session of SQLAlchemy costs.

    For what requests and sockets begin with; everything else is rare enough.
    """

    def __init__(self, statement: Select[*tuple[Any, ...]]) -> None:
        """`statement` has bound parameters only, each named when it is executed."""
        self.statement = statement
        compiled = statement.compile(dialect=asyncpg.dialect())  # type: ignore[no-untyped-call]
        self.text = str(compiled)
        self._names = tuple(compiled.positiontup or ())

    def arguments(self, given: Mapping[str, Any]) -> list[Any]:
        return [given[name] for name in self._names]
