"""Clients of other messengers: numbers for ids, a bearer token, and the two sockets, whose frames are held against the
contract as they come and go."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import aiohttp

from tests.actors import Person, Server
from tests.contract import CONTRACT
from tests.frames import FRAMES
from tests.sockets import SOON, knocks

Frame = dict[str, Any]
Channel = Literal["classicChats", "classicChat"]


class Older:
    """An open socket of an older client."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, channel: Channel) -> None:
        self.ws = ws
        self.channel: Channel = channel
        self.heard: list[Frame] = []

    async def says(self, **frame: Any) -> None:
        await self.ws.send_str(json.dumps(frame, ensure_ascii=False))

    async def asks(self, **frame: Any) -> None:
        """A frame that the contract describes; whatever comes of it is heard."""
        FRAMES.check("said", frame, channel=self.channel)
        await self.says(**frame)

    async def hears(self, within: float = SOON) -> Frame:
        message = await self.ws.receive(within)
        assert message.type is aiohttp.WSMsgType.TEXT, f"{message}; closed with {self.ws.close_code}"
        frame: Frame = json.loads(message.data)
        FRAMES.check("heard", frame, channel=self.channel)
        self.heard.append(frame)
        return frame

    async def refusal(self) -> str:
        """The sentence of the error that comes next; receipts may come at any time."""
        while (frame := await self.hears()).get("action") == "message_read":
            pass
        assert frame.get("status") == "error", frame
        return str(frame["message"])

    async def closes(self, within: float = SOON) -> int:
        """With which code; whatever comes before it is kept in `heard`."""
        async with asyncio.timeout(within):
            while (message := await self.ws.receive()).type is aiohttp.WSMsgType.TEXT:
                self.heard.append(json.loads(message.data))
        # Of the frame itself: the client's own `close_code` also tells whether it could still answer.
        assert message.type is aiohttp.WSMsgType.CLOSE, message
        return int(message.data)


@asynccontextmanager
async def opened(person: Person, path: str, server: Server | None = None, **options: Any) -> AsyncIterator[Older]:
    """`headers` replace the person's own."""
    server = server or person.server
    headers = options.pop("headers", person.headers)
    try:
        ws = await person.http.ws_connect(server.url + path, headers=headers, **options)
    except aiohttp.WSServerHandshakeError as error:
        problem = await knocks(person, server, path, headers)
        assert problem["status"] == error.status
        raise RefusedUpgrade(problem) from None
    CONTRACT.check("GET", path, 101, ws._response.headers, b"")
    try:
        yield Older(ws, "classicChats" if path.startswith("/chats/ws") else "classicChat")
    finally:
        await ws.close()


class RefusedUpgrade(Exception):
    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem["code"])
        self.code: str = problem["code"]
        self.status: int = problem["status"]


def all_chats(person: Person, server: Server | None = None, **options: Any) -> Any:
    return opened(person, "/chats/ws", server, **options)


def one_chat(person: Person, chat: int | str, server: Server | None = None, **options: Any) -> Any:
    return opened(person, f"/ws/{chat}", server, **options)


async def settled(*sockets: Older) -> None:
    """These listen already, and have done what they were asked: each is asked something more, which it refuses."""
    for socket in sockets:
        await socket.says(type="rumour")
        while "status" not in await socket.hears():
            pass


async def group(person: Person, *others: Person, name: str = "lunch") -> int:
    body = {"name": name, "participant_user_ids": [int(one.user_id) for one in others]}
    return int((await person.post("/group", body)).expecting(201).json["chat_id"])
