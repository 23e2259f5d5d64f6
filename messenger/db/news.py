"""What a transaction wants to have written to the log: an entry that has no position yet."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class News:
    kind: str
    chat_id: int | None = None
    user_id: int | None = None
    actor_id: int | None = None
    subject_id: int | None = None
    data: dict[str, Any] | None = field(default=None, hash=False)
