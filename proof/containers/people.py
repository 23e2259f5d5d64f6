"""People who use an installation from outside: requests at a steady rate, and sockets that listen and come back."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec

from proof.lab.crowd import Client, Follower, clients, ends, sign_up
from proof.lab.processes import AWAY
from proof.lab.waiting import PATIENCE, happens, running

GROUP = 4  # people in a chat
SENDS = 8  # one request of so many is a message: less than one a second for each of 40 people, which is their limit


@dataclass(frozen=True)
class Address:
    """Where the installation is reached."""

    url: str


@dataclass(frozen=True)
class Outcome:
    at: float
    seconds: float
    what: str
    status: str  # or the name of what went wrong without one

    @property
    def is_fine(self) -> bool:
        return self.status.startswith("2")


@dataclass
class Room:
    """A chat, with what its members were told about what they sent."""

    chat_id: str
    members: list[Client]
    acknowledged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


class People:
    def __init__(self, address: Address, rooms: list[Room], followers: list[Follower]) -> None:
        self.address = address
        self.rooms = rooms
        self.followers = followers
        self.outcomes: list[Outcome] = []
        self.flaws: Counter[str] = Counter()
        self._turns = [(one, room) for room in rooms for one in room.members]
        self._busy: set[asyncio.Task[None]] = set()
        self._number = count()

    async def use(self, rate: float) -> None:
        """So many requests a second, whether or not the earlier ones are answered; until it is cancelled."""
        began = time.monotonic()
        for number in count():
            early = began + number / rate - time.monotonic()
            if early > 0:
                await asyncio.sleep(early)
            task = asyncio.create_task(self._ask(number))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)

    async def _ask(self, number: int) -> None:
        client, room = self._turns[number % len(self._turns)]
        if random.randrange(SENDS):
            path = random.choice(("/v1/users/me", f"/v1/chats/{room.chat_id}/messages?limit=20", "/v1/chats"))
            await self._timed("GET", client, path)
        else:
            await self._say(client, room)

    async def _say(self, client: Client, room: Room) -> None:
        """With a key in the body, with one that proxies see, and without: only what was not taken may be sent again."""
        text = uuid4().hex
        body, headers = random.choice([({"client_id": text}, {}), ({}, {"Idempotency-Key": text}), ({}, {})])
        outcome = await self._timed(
            "POST", client, f"/v1/chats/{room.chat_id}/messages", {"text": text, **body}, headers
        )
        if outcome.is_fine:
            room.acknowledged.append(text)
        else:
            room.unknown.append(text)

    async def _timed(
        self, method: str, client: Client, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Outcome:
        began = time.monotonic()
        try:
            async with client.http.request(
                method,
                self.address.url + path,
                data=None if body is None else msgspec.json.encode(body),
                headers={**client.actor.headers, **(headers or {})},
                timeout=aiohttp.ClientTimeout(total=PATIENCE),
            ) as answer:
                await answer.read()
                status = str(answer.status)
        except AWAY as error:
            status = type(error).__name__
        outcome = Outcome(began, time.monotonic() - began, method, status)
        self.outcomes.append(outcome)
        return outcome

    async def finish(self) -> None:
        """Everything on its way arrives; then a last word in every chat, until all have heard it."""
        while self._busy:
            await asyncio.sleep(0.05)
        for room in self.rooms:
            await happens(partial(self._ends, room), f"the last word in chat {room.chat_id}")

    async def _ends(self, room: Room) -> bool:
        path, body = f"/v1/chats/{room.chat_id}/messages", {"text": "the end", "client_id": "the end"}
        return (await self._timed("POST", room.members[0], path, body)).is_fine

    async def judge(self) -> None:
        """None is found when all that was acknowledged is kept, and every socket heard all of it once, in order."""
        found = self.flaws
        for room in self.rooms:
            kept = [one["text"] for one in await room.members[0].reads_all(self.address, room.chat_id)]
            times = Counter(kept)
            found["acknowledged and lost"] += sum(not times[text] for text in room.acknowledged)
            found["stored twice"] += sum(times[text] > 1 for text in room.acknowledged + room.unknown)
            for follower in self.followers:
                if follower.client in room.members:
                    heard = follower.said_in(room.chat_id)
                    found["not heard"] += len(set(range(1, len(kept) + 1)) - set(heard))
                    found["heard twice"] += len(heard) - len(set(heard))
                    found["heard in another order"] += heard != sorted(heard)


@asynccontextmanager
async def people(url: str, *, how_many: int, sockets: int) -> AsyncIterator[People]:
    address, run = Address(url), uuid4().hex[:8]
    actors = await sign_up(address, [f"{run}-{number}" for number in range(how_many)])
    async with clients(*actors) as everybody:
        rooms = []
        for first in range(0, how_many, GROUP):
            members = everybody[first : first + GROUP]
            chat = await members[0].opens_chat(address, f"room {run} {first}", [one.actor for one in members[1:]])
            rooms.append(Room(chat, members))
        cursors = {one.actor.name: await one.cursor(address) for one in everybody}
        followers = [
            Follower(one, "socket", cursors[one.actor.name], lambda: address, ends, pause=1.0)
            for one in (everybody[number % how_many] for number in range(sockets))
        ]
        async with running(*(one.follow() for one in followers)) as listening:
            crowd = People(address, rooms, followers)

            async def all_have_heard() -> bool:
                return all(task.done() for task in listening)

            yield crowd
            await crowd.finish()
            await happens(all_have_heard, "that every socket hears the end", 4 * PATIENCE)
        await crowd.judge()
