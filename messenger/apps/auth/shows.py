"""How the end of a session looks on its person's streams."""

from collections.abc import Sequence
from typing import Any

from messenger.log.entries import Entry


async def session_revoked(root: object, entries: Sequence[Entry]) -> list[Any]:
    return [{"session_id": str(entry.subject_id)} for entry in entries]


shows = {"session_revoked": session_revoked}
