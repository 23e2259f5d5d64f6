"""Turns rows of the database into messages as they are sent.

A page is written as text, not object by object: that takes a third of the time. tests/apps/messages/test_rendering.py
compares both, over all that a message can hold.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from messenger.apps.messages.schemas import CurrentMessage, Message, Reaction, client_id
from messenger.text import rfc3339_ms
from messenger.web.reply import ENCODER

if TYPE_CHECKING:
    from messenger.apps.messages.store import ChatHead


def render_for_all(row: Any) -> CurrentMessage:
    """The same for every reader."""
    found = msgspec.json.decode(row["reactions"] or b"{}")
    reactions = [Reaction(emoji, people) for emoji, people in sorted(found.items())]
    message = render(row, row["chat_id"], row["name"], row["is_read"], reactions)
    return CurrentMessage(message, row["chat_id"], row["sender_id"], row["key"])


def write_for(
    reader: int, rows: Sequence[Any], chat: "ChatHead", reactions: Mapping[int, list[Reaction]]
) -> msgspec.Raw:
    """JSON: the list of what `render_for` makes of each row."""
    encode, read_seq, of_chat = ENCODER.encode, chat.read_seq, f'"chat_id":"{chat.chat_id}"'
    senders: dict[int, str] = {}
    written = []
    for message_id, seq, sender_id, text, sent, edited, deleted, reply_to, key, _ in rows:
        sender = senders.get(sender_id)
        if sender is None:
            name = encode(chat.names[sender_id]).decode()
            sender = senders[sender_id] = f'"sender_id":"{sender_id}","sender_name":{name}'
        changed = "null" if edited is None else f'"{rfc3339_ms(edited)}"'
        replied = "null" if reply_to is None else f'"{reply_to}"'
        found = encode(reactions[message_id]).decode() if message_id in reactions else "[]"
        own = f',"client_id":{encode(client_id(key)).decode()}' if sender_id == reader else ""
        written.append(
            f'{{"message_id":"{message_id}","id":"{message_id}",{of_chat},"seq":{seq},{sender}'
            f',"text":{encode(text or "").decode()},"sent_at":"{rfc3339_ms(sent)}","edited_at":{changed}'
            f',"deleted":{"true" if deleted else "false"},"reply_to":{replied},"reactions":{found}'
            f',"is_read":{"true" if seq <= read_seq else "false"}{own}}}'
        )
    return msgspec.Raw(f"[{','.join(written)}]".encode())


def render_for(reader: int, row: Any, chat: "ChatHead", reactions: list[Reaction]) -> Message:
    own = client_id(row["key"]) if row["sender_id"] == reader else msgspec.UNSET
    name, is_read = chat.names[row["sender_id"]], row["seq"] <= chat.read_seq
    return render(row, chat.chat_id, name, is_read, reactions, own)


def render(
    row: Any,
    chat_id: int,
    sender_name: str,
    is_read: bool,
    reactions: list[Reaction],
    own: str | None | msgspec.UnsetType = msgspec.UNSET,
) -> Message:
    message_id, seq, sender_id, text, sent, edited, deleted, reply_to = row[:8]
    return Message(
        message_id=(name := str(message_id)),
        id=name,
        chat_id=str(chat_id),
        seq=seq,
        sender_id=str(sender_id),
        sender_name=sender_name,
        text=text or "",
        sent_at=rfc3339_ms(sent),
        edited_at=None if edited is None else rfc3339_ms(edited),
        deleted=deleted,
        reply_to=None if reply_to is None else str(reply_to),
        reactions=reactions,
        is_read=is_read,
        client_id=own,
    )
