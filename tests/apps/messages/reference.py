"""What a client does with `GET /v1/sync` and the events: the rules of the protocol, as short as they are."""

from typing import Any

from tests.actors import Person

KNOWN = ("name", "join", "member_count")


class ReferenceClient:
    """One person's account and chats, kept by events alone; a chat is loaded only when its person comes into it."""

    def __init__(self, person: Person, state: dict[str, Any]) -> None:
        self.person = person
        self.user: dict[str, Any] = state["user"]
        self.chats: dict[str, dict[str, Any]] = {chat["chat_id"]: chat for chat in state["chats"]}
        self.cursor: str = state["cursor"]

    @classmethod
    async def of(cls, person: Person) -> "ReferenceClient":
        return cls(person, (await person.get("/v1/sync")).expecting(200).json)

    async def apply(self, event: dict[str, Any]) -> None:
        if "cursor" not in event or position(event["cursor"]) <= position(self.cursor):
            return
        self.cursor = event["cursor"]
        is_me = event.get("user_id") == self.person.user_id
        if event["type"] == "user_changed":
            self.user = event["user"]
        elif event["type"] == "member_added" and is_me:
            await self._load(event["chat_id"])
        elif event["type"] == "chat_deleted" or (event["type"] == "member_removed" and is_me):
            self.chats.pop(event["chat_id"], None)
        elif event.get("chat_id") in self.chats:
            chat = self.chats[event["chat_id"]]
            self._change(chat, event)
            if "member" in event:
                self._change_member(chat, event["member"])
            chat["unread"] = max(0, chat["head_seq"] - chat["read_seq"])

    async def _load(self, chat_id: str) -> None:
        answer = await self.person.get(f"/v1/chats/{chat_id}")
        if answer.status == 200:
            self.chats[chat_id] = answer.json

    def _change(self, chat: dict[str, Any], event: dict[str, Any]) -> None:
        kind, last = event["type"], chat["last_message"]
        if kind == "new_message":
            message = event["message"]
            if message["seq"] > chat["head_seq"]:
                chat["head_seq"] = message["seq"]
                chat["last_message"] = {name: message[name] for name in LAST}
            if message["sender_id"] == self.person.user_id:
                chat["read_seq"] = max(chat["read_seq"], message["seq"])
        elif kind in {"message_edited", "message_deleted"}:
            message = event["message"]
            if last is not None and last["message_id"] == message["message_id"]:
                last.update({name: message[name] for name in LAST})
        elif kind == "message_read":
            for mark in event["reads"]:
                if mark["user_id"] == self.person.user_id:
                    chat["read_seq"] = max(chat["read_seq"], mark["to_seq"])
        elif kind == "message_read_by_all":
            chat["read_by_all_seq"] = max(chat["read_by_all_seq"], event["to_seq"])
        elif kind in {"member_added", "member_removed"}:
            chat["member_count"] = event["member_count"]
        elif kind in {"chat_changed", "chat_created"}:
            known = event["chat"]
            chat.update({name: known[name] for name in KNOWN if chat["kind"] != "direct" or name != "name"})
        elif kind == "chat_muted":
            chat["muted_until"] = event["muted_until"]

    def _change_member(self, chat: dict[str, Any], member: dict[str, Any]) -> None:
        if member["user_id"] == self.person.user_id:
            chat["role"] = member["role"]
        if chat.get("peer_id") == member["user_id"]:
            chat["name"] = member["user_name"]
        last = chat["last_message"]
        if last is not None and last["sender_id"] == member["user_id"]:
            last["sender_name"] = member["user_name"]


LAST = ("message_id", "seq", "sender_id", "sender_name", "text", "sent_at", "deleted")


def position(cursor: str) -> int:
    return int(cursor.partition(".")[2])
