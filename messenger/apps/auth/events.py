"""Renders the events about a person's own account, for that person."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from messenger.apps.auth import service
from messenger.apps.auth.context import AUTH
from messenger.log.entries import Entry


async def session_revoked(root: web.Application, entries: Sequence[Entry]) -> list[Any]:
    return [{"session_id": str(entry.subject_id)} for entry in entries]


async def user_changed(root: web.Application, entries: Sequence[Entry]) -> list[Any]:
    found = await service.profiles_now(root[AUTH], [entry.user_id or 0 for entry in entries])
    return [{"user": found[entry.user_id].as_own()} if entry.user_id in found else None for entry in entries]


event_renderers = {"session_revoked": session_revoked, "user_changed": user_changed}
