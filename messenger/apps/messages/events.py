"""Renders the log's entries about messages as events: messages as they are now, the same for everybody."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from messenger.apps.messages.history import HISTORY
from messenger.apps.messages.sending import SENDER, receipt_fields
from messenger.log.entries import Entry


async def new_message(root: web.Application, entries: Sequence[Entry]) -> list[Any]:
    found = await root[HISTORY].current([entry.position for entry in entries])
    own = await root[SENDER].answered([one.full_key for one in found.values()])
    for entry in entries:
        one = found.get(entry.position)
        if one is not None:
            entry.key = one.key
            if one.full_key in own:
                entry.skip = own[one.full_key].origin
    return [{"message": found[entry.position].message} if entry.position in found else None for entry in entries]


async def message_changed(root: web.Application, entries: Sequence[Entry]) -> list[Any]:
    found = await root[HISTORY].current([entry.subject_id or 0 for entry in entries])
    return [
        {"actor_id": str(entry.actor_id), "message": found[entry.subject_id].message}
        if entry.subject_id in found
        else None
        for entry in entries
    ]


async def reaction(root: web.Application, entries: Sequence[Entry]) -> list[Any]:
    found = await root[HISTORY].current([entry.subject_id or 0 for entry in entries])
    return [
        {
            "message_id": str(entry.subject_id),
            "user_id": str(entry.actor_id),
            **entry.data,
            "reactions": found[entry.subject_id].message.reactions,
        }
        if entry.subject_id in found
        else None
        for entry in entries
    ]


async def receipts(root: web.Application, entries: Sequence[Entry]) -> list[Any]:
    return [receipt_fields(entry.kind, entry.data) for entry in entries]


event_renderers = {
    "new_message": new_message,
    "message_edited": message_changed,
    "message_deleted": message_changed,
    "reaction": reaction,
    "message_read": receipts,
    "message_read_by_all": receipts,
}
