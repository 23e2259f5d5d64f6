"""What the database holds in the end, read past the servers when everything is quiet."""

from pathlib import Path

import msgspec

from proof.lab.cluster import Cluster
from proof.torture.journal import digest


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    chat: int
    seq: int
    position: int
    sender: int
    key: str
    digest: str
    changed: bool  # edited or deleted since


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    position: int
    kind: str
    chat: int
    user: int
    subject: int
    to: list[int] | None


class Member(msgspec.Struct, frozen=True, array_like=True, gc=False):
    chat: int
    user: int
    read_seq: int


class Ledger(msgspec.Struct):
    head: int
    messages: list[Message]
    entries: list[Entry]
    members: list[Member]

    def save(self, path: Path) -> None:
        path.write_bytes(msgspec.json.encode(self))

    @classmethod
    def load(cls, path: Path) -> "Ledger":
        return msgspec.json.decode(path.read_bytes(), type=cls)


async def read_ledger(cluster: Cluster) -> Ledger:
    async with cluster.connected() as connection:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            head = await connection.fetchval("select max(position) from log_head")
            messages = [
                Message(row[0], row[1], row[2], row[3], row[4].removeprefix("c:"), digest(row[5] or ""), row[6])
                async for row in connection.cursor(MESSAGES)
            ]
            entries = [
                Entry(row[0], row[1], row[2], row[3], row[4], msgspec.json.decode(row[5]) if row[5] else None)
                for row in await connection.fetch(ENTRIES)
            ]
            members = [Member(*row) for row in await connection.fetch("select chat_id, user_id, read_seq from members")]
    return Ledger(head, messages, entries, members)


MESSAGES = """
    select chat_id, seq, id, sender_id, key, text, edited_at is not null or deleted_at is not null
      from messages order by chat_id, seq
"""
ENTRIES = """
    select position, kind, coalesce(topic_chat, 0), coalesce(topic_user, 0), coalesce(subject_id, 0), data ->> 'to'
      from log_entries order by position
"""
