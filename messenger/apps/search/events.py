"""The progress of a search task as events for the person who asked for it."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from messenger.log.entries import Entry


async def task_changed(root: web.Application, entries: Sequence[Entry]) -> list[Any]:
    return [{"task_id": str(entry.subject_id), **entry.data} for entry in entries]


event_renderers = {"search_progress": task_changed, "search_finished": task_changed}
