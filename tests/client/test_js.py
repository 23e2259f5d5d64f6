"""messenger.js under Node, against real servers: what it promises to those who build on it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from proof.lab.processes import Process
from proof.lab.proxy import Dropper, Mood, Proxy, to_port
from tests.actors import Person, Server
from tests.client.doings import Doings
from tests.client.puppets import NODE, OLDEST, ClientError, Puppet, Stage
from tests.sizes import sized

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(NODE is None, reason=f"Node.js {OLDEST} or later is not installed"),
]

HURRY = {"quiet": 200, "patience": 200, "doubt": 200, "shortestPause": 20, "longestPause": 100, "socketAgain": 200}


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with Stage.opened() as stage:
        yield stage


class NoUpgrades(Dropper):
    """What some proxies do with sockets, as long as the proxy drops."""

    def forth(self, data: bytes, dropping: bool) -> tuple[bytes, bytes]:
        if dropping and b"upgrade: websocket" in data.lower():
            return b"", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
        return data, b""


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    proxy = await Proxy(to_port(server.port), NoUpgrades).start()
    yield proxy
    await proxy.close()


BURSTS, BURST = sized(160, least=16), 20


async def test_state_and_events_are_a_later_sync(
    stage: Stage, alice: Person, bob: Person, mallory: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three people do whatever comes to their mind; each has a device with a socket, which breaks, and one without."""
    seed = random.randrange(1 << 32)
    choice, people = random.Random(seed), (alice, bob, mallory)
    async with AsyncExitStack() as stack:
        devices = [
            (person, await stack.enter_async_context(stage.plays_for(person, socket=socket, pace=HURRY)))
            for person in people
            for socket in (True, False)
        ]
        doings = Doings(choice, devices)
        for burst in range(BURSTS):
            for _ in range(BURST):
                await doings.any()
            if burst % 2 == 1:  # also with a send on the way, and while it is away
                device = choice.choice(devices[::2])
                await asyncio.gather(doings.speak(device), device[1].does("cut"), *(doings.any() for _ in range(8)))

            about = f"burst {burst} of seed {seed}"
            for person in people:
                (await person.asks("PATCH", "/v1/users/me", {"about": about})).expecting(200)
            for person, device in devices:
                await device.until(lambda device=device: has_heard(device, about), about)
                state, sync = await device.does("state"), (await person.get("/v1/sync")).expecting(200).json
                assert by_id(state["chats"]) == by_id(sync["chats"]), about
                assert state["user"] == sync["user"], about
    with capsys.disabled():
        print(f"\n{doings.done} of {doings.tried} doings were allowed")


def has_heard(device: Puppet, about: str) -> bool:
    return any(event["type"] == "user_changed" and event["user"]["about"] == about for event in device.events)


def by_id(chats: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {chat["chat_id"]: chat for chat in chats}
