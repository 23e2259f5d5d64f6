"""How the log's entries about chats look as events: as things are now, and the same for every member."""

from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from messenger.apps.chats import service, views
from messenger.apps.chats.schemas import Shown
from messenger.log.entries import Entry, Show
from messenger.web.keys import DATABASE

Fields = dict[str, Any] | None


def now(fields: Callable[[Entry, Shown | None], Fields]) -> Show:
    """A show that looks every entry's chat, and the person it is about, up at once."""

    async def show(root: web.Application, entries: Sequence[Entry]) -> list[Fields]:
        pairs = [(entry.chat_id or 0, entry.user_id or (entry.data or {}).get("member")) for entry in entries]
        found = await service.shown(root[DATABASE], pairs)
        return [fields(entry, one) for entry, one in zip(entries, found, strict=True)]

    return show


def chat(entry: Entry, found: Shown | None) -> Fields:
    if found is None:
        return None
    fields = {"chat": views.chat_as_known(found.chat)}
    return fields if found.member is None else {**fields, "member": views.seated(found.member)}


def member_added(entry: Entry, found: Shown | None) -> Fields:
    """Silent when the person is gone again: of a chat one was removed from, only the removal is told."""
    if found is None or found.member is None:
        return None
    return {**_who(entry), "member": views.seated(found.member), "member_count": found.chat.member_count}


def member_removed(entry: Entry, found: Shown | None) -> Fields:
    return {**_who(entry), "member_count": 0 if found is None else found.chat.member_count}


async def chat_deleted(root: web.Application, entries: Sequence[Entry]) -> list[Fields]:
    return [{"actor_id": views.id_text(entry.actor_id)} for entry in entries]


def _who(entry: Entry) -> dict[str, Any]:
    return {"user_id": views.id_text(entry.user_id), "actor_id": views.id_text(entry.actor_id)}


shows: dict[str, Show] = {
    "chat_created": now(chat),
    "chat_changed": now(chat),
    "member_added": now(member_added),
    "member_removed": now(member_removed),
    "chat_deleted": chat_deleted,
}
