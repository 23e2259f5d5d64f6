"""A statement as it is written, taken apart once: SQLAlchemy looks for its parameters each time it is handed one."""

from functools import lru_cache

import sqlalchemy
from sqlalchemy import TextClause


@lru_cache(maxsize=1024)
def text(statement: str) -> TextClause:
    return sqlalchemy.text(statement)
