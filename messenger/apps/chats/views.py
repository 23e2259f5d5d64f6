"""Chats and members as JSON: for one person, and in events, which are the same for all members."""

from datetime import datetime
from typing import Any

from messenger.apps.chats.schemas import ChatState, ChatView, Group, LastMessage, Member, Participant
from messenger.text import rfc3339

Json = dict[str, Any]


def chat_as_seen(view: ChatView) -> Json:
    """`name` is the chat's, or in a direct chat the other person's; `peer_id` is there only."""
    seen = {
        **chat_as_known(view.chat),
        "name": (view.peer_name if view.chat.kind == "direct" else view.chat.name) or "",
        "role": view.role,
        "last_message": None if view.last is None else _last_message(view.last),
        "read_seq": view.read_seq,
        "read_by_all_seq": view.read_by_all_seq,
        "unread": max(0, view.chat.head_seq - view.read_seq),
        "muted_until": _moment(view.muted_until),
    }
    return seen if view.peer_id is None else {**seen, "peer_id": str(view.peer_id)}


def chat_as_known(chat: ChatState) -> Json:
    """Without a name for a direct chat: its two people see different ones."""
    return {
        "chat_id": str(chat.chat_id),
        "kind": chat.kind,
        "name": chat.name,
        "join": chat.join_rule,
        "creator_id": id_text(chat.creator_id),
        "created_at": rfc3339(chat.created_at),
        "member_count": chat.member_count,
        "head_seq": chat.head_seq,
    }


def group(found: Group) -> Json:
    chat = found.chat
    return {
        "group_id": str(chat.chat_id),
        "chat_id": str(chat.chat_id),
        "name": chat.name or "",
        "creator_id": id_text(chat.creator_id),
        "created_at": rfc3339(chat.created_at),
        "member_count": chat.member_count,
        "participants": [participant(one) for one in found.participants],
    }


def member(one: Member) -> Json:
    return {
        **participant(one),
        "read_seq": one.read_seq,
        "message_id": id_text(one.message_id),
        "joined_at": rfc3339(one.joined_at),
    }


def participant(one: Member | Participant) -> Json:
    return {"user_id": str(one.user_id), "user_name": one.name, "role": one.role}


def id_text(found: int | None) -> str | None:
    return None if found is None else str(found)


def _last_message(words: LastMessage) -> Json:
    return {
        "message_id": str(words.message_id),
        "seq": words.seq,
        "sender_id": str(words.sender_id),
        "sender_name": words.sender_name,
        "text": words.text,
        "sent_at": rfc3339(words.sent_at),
        "deleted": words.is_deleted,
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
