"""A state and the events after it are a later state: after whatever people do, for each of them, on every transport.

Histories are random and known by their seed: what fails can be tried again.
"""

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from messenger.web.app_keys import LOG
from tests.actors import Person
from tests.apps.messages.reference import ReferenceClient
from tests.apps.talk import says

TURNS, LOOKS = 70, 7


class History:
    """People who do whatever the dice say, whether they may or not."""

    def __init__(self, dice: random.Random, people: list[Person], servers: list) -> None:
        self.dice = dice
        self.people = people
        self.names = [one.name for one in people]
        self.servers = servers
        self.chats: list[str] = []
        self.messages: list[tuple[str, str]] = []
        self.done: list[str] = []

    async def goes_on(self) -> None:
        act = self.dice.choice(
            [self.say] * 6
            + [self.read] * 4
            + [self.edit, self.bury, self.react, self.unreact]
            + [self.invite, self.remove, self.leave, self.take_leave, self.join] * 2
            + [self.rename, self.promote, self.open, self.direct, self.end, self.call_myself, self.mute] * 2
            + [self.take_another_name, self.take_another_name, self.tell_about_myself, self.delete_account]
        )
        who = self.dice.choice(self.people)
        status = await act(who, self.dice.choice(self.chats), self.dice.choice(self.servers))
        self.done.append(f"{who.name} {act.__name__} {status}")

    async def ask(self, who, server, method, path, body=None) -> int:
        return (await who.asks(method, path, body, server=server)).status

    async def say(self, who, chat, server):
        answer = await who.post(f"/v1/chats/{chat}/messages", {"text": str(self.dice.random())}, server=server)
        if answer.status == 201:
            self.messages.append((chat, answer.json["message_id"]))
        return answer.status

    def place(self) -> str:
        chat, message = self.dice.choice(self.messages[-8:])
        return f"/v1/chats/{chat}/messages/{message}"

    async def read(self, who, chat, server):
        chat, message = self.dice.choice(self.messages[-8:])
        return await self.ask(who, server, "POST", f"/v1/chats/{chat}/read", {"message_id": message})

    async def edit(self, who, chat, server):
        return await self.ask(who, server, "PATCH", self.place(), {"text": str(self.dice.random())})

    async def bury(self, who, chat, server):
        return await self.ask(who, server, "DELETE", self.place())

    async def react(self, who, chat, server):
        return await self.ask(who, server, "PUT", self.place() + "/reactions/!")

    async def unreact(self, who, chat, server):
        return await self.ask(who, server, "DELETE", self.place() + "/reactions/!")

    async def invite(self, who, chat, server):
        body = {"user_ids": [self.dice.choice(self.people).user_id]}
        return await self.ask(who, server, "POST", f"/v1/chats/{chat}/members", body)

    async def remove(self, who, chat, server):
        person = self.dice.choice(self.people)
        return await self.ask(who, server, "DELETE", f"/v1/chats/{chat}/members/{person.user_id}")

    async def leave(self, who, chat, server):
        return await self.ask(who, server, "DELETE", f"/v1/chats/{chat}/members/me")

    async def take_leave(self, who, chat, server):
        """What was said last is then said by somebody who is not there."""
        await self.say(who, chat, server)
        return await self.leave(who, chat, server)

    async def join(self, who, chat, server):
        return await self.ask(who, server, "POST", f"/v1/chats/{chat}/users", {"user_name": who.name})

    async def call_myself(self, who, chat, server):
        body = {"user_name": self.dice.choice(["boss", "mouse", who.name])}
        return await self.ask(who, server, "POST", f"/v1/chats/{chat}/users", body)

    async def rename(self, who, chat, server):
        body = {"chat_name": f"chat {self.dice.random()}", "join": self.dice.choice(["open", "invite"])}
        return await self.ask(who, server, "PATCH", f"/v1/chats/{chat}", body)

    async def promote(self, who, chat, server):
        person, role = self.dice.choice(self.people), self.dice.choice(["owner", "admin", "member"])
        return await self.ask(who, server, "PATCH", f"/v1/chats/{chat}/members/{person.user_id}", {"role": role})

    async def open(self, who, chat, server):
        others = self.dice.sample(self.people, 2)
        self.chats.append(await who.opens_chat(f"chat {self.dice.random()}", others))
        return 201

    async def direct(self, who, chat, server):
        self.chats.append(await who.talks_to(self.dice.choice(self.people)))
        return 200

    async def mute(self, who, chat, server):
        body = {"muted_until": self.dice.choice([None, "2030-01-01T07:00:00.123456+02:00", "2031-01-01T00:00:00Z"])}
        return await self.ask(who, server, "PATCH", f"/v1/chats/{chat}", body)

    async def take_another_name(self, who, chat, server):
        """Some of them are taken: by somebody else, or by oneself already."""
        body = {"user_name": f"{self.dice.choice(self.names)} {self.dice.randrange(3)}"}
        return await self.ask(who, server, "PATCH", "/v1/users/me", body)

    async def tell_about_myself(self, who, chat, server):
        what = self.dice.choice(["display_name", "about", "email"])
        body = {what: f"{what}@{self.dice.randrange(3)}.example"}
        return await self.ask(who, server, "PATCH", "/v1/users/me", body)

    async def delete_account(self, who, chat, server):
        """Once in a history, so that enough people are left in it."""
        if len(self.people) < len(self.names):
            return 0
        self.people.remove(who)
        return await self.ask(who, server, "DELETE", "/v1/users/me")

    async def end(self, who, chat, server):
        return await self.ask(who, server, "DELETE", f"/v1/chats/{chat}") if len(self.chats) > 3 else 0


LONG = [pytest.param(seed, marks=pytest.mark.long) for seed in (2, 10, 12, 40, 41)]


@pytest.mark.parametrize("seed", [0, 31, 34, *LONG])
async def test_a_state_and_the_events_after_it_are_a_later_state(start, seed):
    dice = random.Random(seed)
    servers = [await start(THROTTLE_DEFAULT="100000/1s"), await start(THROTTLE_DEFAULT="100000/1s")]
    async with AsyncExitStack() as stack:
        people = [
            await stack.enter_async_context(Person.registered(servers[0], name))
            for name in ("alice", "bob", "carol", "dave", "erin")
        ]
        history = History(dice, people, servers)
        history.chats = [await people[0].opens_chat("lunch", people[1:3]), await people[1].opens_chat("tea", people)]
        await people[0].makes(history.chats[0], people[1], "admin")
        for chat in history.chats:
            history.messages.append((chat, (await says(people[1], chat, "hi"))["message_id"]))
        live = [
            (await ReferenceClient.of(one), await stack.enter_async_context(one.connects(dice.choice(servers))))
            for one in people
        ]
        for client, socket in live:  # from the state's own place on, whatever happened before the socket was open
            await socket.asks("resume", cursor=client.cursor)
        polled = [await ReferenceClient.of(one) for one in people]

        for turn in range(TURNS):
            await history.goes_on()
            if turn % LOOKS == LOOKS - 1:
                await asyncio.gather(*(server.runner.app[LOG].barrier() for server in servers))
                live = [(client, socket) for client, socket in live if client.person in people]
                polled = [client for client in polled if client.person in people]
                for client, socket in live:
                    await socket.asks("ping")
                    for event in socket.hears_at_once():
                        await client.apply(event)
                    await agrees(client, "live", history)
                for client in dice.sample(polled, 2):
                    await catches_up(client)
                    await agrees(client, "polled", history)
        for client in polled:
            if client.person in people:
                await catches_up(client)
                await agrees(client, "polled", history)
        assert sum(line.endswith(("200", "201", "204")) for line in history.done) > TURNS / 3, history.done


async def catches_up(client: ReferenceClient) -> None:
    events = None
    while events is None or events:
        events = (await client.person.get(f"/v1/events?after={client.cursor}")).expecting(200).json["events"]
        for event in events:
            await client.apply(event)


async def agrees(client: ReferenceClient, how: str, history: History) -> None:
    later = await ReferenceClient.of(client.person)
    where = f"{how} {client.person.name} after {history.done}"
    assert client.user == later.user, where
    assert client.chats.keys() == later.chats.keys(), where
    for chat_id, chat in later.chats.items():
        assert client.chats[chat_id] == chat, where
