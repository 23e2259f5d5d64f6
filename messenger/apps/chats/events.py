"""How the log's entries about chats look as events: the same for every member.

Names, roles and rules as they are now; numbers as they were at the entry's position.
"""

from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from messenger.apps.chats import service, views
from messenger.apps.chats.schemas import ChatAndPerson
from messenger.log.entries import Entry
from messenger.subapp import EventRenderer
from messenger.web.app_keys import DATABASE

Fields = dict[str, Any] | None


def now(fields: Callable[[Entry, ChatAndPerson], Fields]) -> EventRenderer:
    """A show that looks every entry's chat, and the person it is about, up at once."""

    async def show(root: web.Application, entries: Sequence[Entry]) -> list[Fields]:
        found = await service.chats_and_people(root[DATABASE], [_about(entry) for entry in entries])
        return [fields(entry, one) for entry, one in zip(entries, found, strict=True)]

    return show


def chat(entry: Entry, found: ChatAndPerson) -> Fields:
    if found.chat is None:
        return None
    known = views.chat_as_known(found.chat)
    return {"chat": {**known, **{name: number(entry, name, known[name]) for name in ("member_count", "head_seq")}}}


def member_added(entry: Entry, found: ChatAndPerson) -> Fields:
    """Silent when the person is gone again: of a chat one was removed from, only the removal is told."""
    if found.chat is None or found.person is None or found.person.role is None:
        return None
    return {**_who(entry, found), "member_count": number(entry, "member_count", found.chat.member_count)}


def member_changed(entry: Entry, found: ChatAndPerson) -> Fields:
    return None if found.chat is None else _who(entry, found)


def member_removed(entry: Entry, found: ChatAndPerson) -> Fields:
    left = 0 if found.chat is None else found.chat.member_count
    return {**_who(entry, found), "member_count": number(entry, "member_count", left)}


def chat_muted(entry: Entry, found: ChatAndPerson) -> Fields:
    """Silent once I am not in it: of a chat one was removed from, only the removal is told."""
    if found.chat is None or found.person is None or found.person.role is None:
        return None
    return {"chat_id": str(found.chat.chat_id), "muted_until": entry.data["until"]}


async def chat_deleted(root: web.Application, entries: Sequence[Entry]) -> list[Fields]:
    return [{"actor_id": views.id_text(entry.actor_id)} for entry in entries]


def number(entry: Entry, name: str, counted_now: int) -> int:
    """An entry that another version wrote may be without it."""
    return int((entry.data or {}).get(name, counted_now))


def _about(entry: Entry) -> tuple[int, int | None]:
    if entry.chat_id is None:  # on a person's own topic, about a chat
        return entry.subject_id or 0, entry.user_id
    return entry.chat_id, entry.user_id or entry.subject_id


def _who(entry: Entry, found: ChatAndPerson) -> dict[str, Any]:
    assert found.person is not None, "these entries are about somebody"
    return {
        "user_id": str(found.person.user_id),
        "actor_id": views.id_text(entry.actor_id),
        "member": views.participant(found.person),
    }


event_renderers: dict[str, EventRenderer] = {
    "chat_created": now(chat),
    "chat_changed": now(chat),
    "member_added": now(member_added),
    "member_changed": now(member_changed),
    "member_removed": now(member_removed),
    "chat_muted": now(chat_muted),
    "chat_deleted": chat_deleted,
}
