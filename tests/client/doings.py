"""What people do in chats, at random: allowed or not, it must leave every device with what the server shows."""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tests.actors import Answer, Person
from tests.client.puppets import ClientError, Puppet

Device = tuple[Person, Puppet]


class Doings:
    def __init__(self, choice: random.Random, devices: Sequence[Device]) -> None:
        self.tried = self.done = 0
        self._choice = choice
        self._devices = devices
        self._people = list({person.user_id: person for person, _ in devices}.values())
        self._chats: list[str] = []
        self._openers: dict[str, Person] = {}
        self._messages: list[tuple[str, str]] = []  # chat and message
        self._names = iter(f"name {number}" for number in range(1_000_000))
        often: list[Callable[[], Awaitable[None]]] = [self.speak, self.read, self.speak_by_rest]
        self._all = [
            *often, *often, *often, self.edit, self.delete, self.react, self.unreact, self.open, self.talk, self.join,
            self.add, self.leave, self.remove, self.rename_chat, self.rename_myself, self.mute, self.role,
            self.delete_chat,
        ]  # fmt: skip

    async def any(self) -> None:
        if not self._chats:
            await self.open()
        await self._choice.choice(self._all)()

    async def speak(self, device: Device | None = None) -> None:
        _, client = device or self._choice.choice(self._devices)
        chat = self._chat()
        self.tried += 1
        try:
            message = await client.does("send", chat, next(self._names))
        except ClientError as error:
            assert error.code == "chat-not-found", error
        else:
            self.done += 1
            self._messages.append((chat, message["message_id"]))

    async def speak_by_rest(self) -> None:
        chat = self._chat()
        answer = await self._person().post(f"/v1/chats/{chat}/messages", {"text": next(self._names)})
        if self._is_done(answer):
            self._messages.append((chat, answer.json["message_id"]))

    async def read(self) -> None:
        await self._on_a_message("read")

    async def edit(self) -> None:
        await self._on_a_message("edit", next(self._names))

    async def delete(self) -> None:
        await self._on_a_message("remove")

    async def react(self) -> None:
        await self._on_a_message("react", self._choice.choice("🍕🍝"))

    async def unreact(self) -> None:
        await self._on_a_message("unreact", self._choice.choice("🍕🍝"))

    async def open(self) -> None:
        person = self._person()
        others = [one.user_id for one in self._people if self._choice.random() < 0.5 and one is not person]
        kind = self._choice.choice(("chat", "chat", "group"))
        if kind == "chat":
            body: dict[str, Any] = {"chat_name": next(self._names), "member_ids": others}
            answer = await person.post("/v1/chats", body)
        else:
            answer = await person.post("/v1/groups", {"name": next(self._names), "participant_user_ids": others})
        if self._is_done(answer):
            self._chats.append(answer.json["chat_id"])
            self._openers[self._chats[-1]] = person

    async def talk(self) -> None:
        """Also with oneself."""
        chat = await self._person().talks_to(self._person())
        if chat not in self._chats:
            self._chats.append(chat)

    async def join(self) -> None:
        person = self._person()
        name = self._choice.choice((person.name, next(self._names)))
        self._is_done(await person.joins(self._chat(), name))

    async def add(self) -> None:
        actor, chat = self._may()
        self._is_done(await actor.invites(chat, self._person()))

    async def leave(self) -> None:
        self._is_done(await self._person().leaves(self._chat()))

    async def remove(self) -> None:
        actor, chat = self._may()
        self._is_done(await actor.removes(chat, self._person()))

    async def role(self) -> None:
        actor, chat = self._may()
        role = self._choice.choice(("owner", "admin", "member"))
        self._is_done(await actor.makes(chat, self._person(), role))

    async def rename_chat(self) -> None:
        actor, chat = self._may()
        self._is_done(await actor.changes(chat, name=next(self._names)))

    async def delete_chat(self) -> None:
        actor, chat = self._may()
        if self._choice.random() < 0.3:
            self._is_done(await actor.deletes(chat))

    async def rename_myself(self) -> None:
        person = self._person()
        name = f"{person.user_id} {next(self._names)}"
        if self._is_done(await person.asks("PATCH", "/v1/users/me", {"user_name": name})):
            person.name = name

    async def mute(self) -> None:
        until = self._choice.choice((None, f"20{self._choice.randrange(50, 99)}-01-01T00:00:00Z"))
        self._is_done(await self._person().changes(self._chat(), muted_until=until))

    def _person(self) -> Person:
        return self._choice.choice(self._people)

    def _chat(self) -> str:
        return self._choice.choice(self._chats[-6:])

    def _may(self) -> tuple[Person, str]:
        """Mostly somebody who may do it there."""
        chat = self._chat()
        opener = self._openers.get(chat)
        return (opener if opener is not None and self._choice.random() < 0.7 else self._person()), chat

    async def _on_a_message(self, verb: str, *words: str) -> None:
        if not self._messages:
            return
        _, client = self._choice.choice(self._devices)
        chat, message = self._choice.choice(self._messages[-12:])
        self.tried += 1
        try:
            await client.does(verb, chat, message, *words)
        except ClientError as error:
            # Its fate is unknown after a cut, and nobody asks again: both are fine here.
            assert error.name == "Unreachable" or error.status in {403, 404}, error
        else:
            self.done += 1

    def _is_done(self, answer: Answer) -> bool:
        assert answer.status < 500, answer
        self.tried += 1
        self.done += answer.status < 300
        return answer.status < 300
