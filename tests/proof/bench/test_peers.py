"""The peers keep what the table says of them: a comparison with servers that promise less would flatter us."""

import json
import shutil
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proof.bench.load.dialects import DIALECTS
from proof.bench.load.server import Server
from proof.bench.load.servers import Servers
from proof.bench.peers.installed import made

needs_node = pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="Node is not installed")
INSTALLED = [pytest.mark.long, pytest.mark.timeout(600)]  # from a registry, when it is the first time
SOON = 5.0


@pytest.fixture(
    params=[
        "probe",
        pytest.param("socket.io", marks=[needs_node, *INSTALLED]),
        pytest.param("FastAPI", marks=INSTALLED),
    ]
)
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    servers = Servers(tmp_path, 0.3, people=6)
    try:
        yield await servers.named(request.param)
    finally:
        servers.close()


def test_what_two_runs_need_at_once_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    filled = []

    def fill(folder: Path) -> None:
        filled.append(folder)
        time.sleep(0.1)  # long enough for the other one to come

    with ThreadPoolExecutor() as two:
        folders = set(two.map(lambda _: made("peer", Path(__file__), fill), range(2)))

    assert [*folders] == filled


class Client:
    """One socket; answers come as (what, its fields)."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, dialect: str) -> None:
        self.socket = socket
        self.is_engine = dialect == "socket.io"

    async def open(self, token: str) -> "Client":
        if self.is_engine:
            assert (await self.hear())[0] == "0"
            await self.socket.send_str(f"40{json.dumps({'token': token})}")
        await self.hear()
        return self

    async def says(self, chat: int, text: str, key: str) -> tuple[str, dict[str, Any]]:
        await self.send(chat, text, key)
        return await self.hear()

    async def send(self, chat: int, text: str, key: str) -> None:
        draft = {"chat_id": str(chat), "client_id": key, "text": text}
        if self.is_engine:
            await self.socket.send_str(f"427{json.dumps(['new_message', draft])}")
        else:
            await self.socket.send_json({"type": "new_message", "ref": "7", **draft})

    async def hear(self) -> tuple[str, dict[str, Any]]:
        frame = await self.socket.receive(SOON)
        assert frame.type is aiohttp.WSMsgType.TEXT, f"{frame.type.name}: {frame.data}"
        if not self.is_engine:
            fields = json.loads(frame.data)
            return fields["type"], fields
        body = frame.data.lstrip("0123456789")
        head, fields = frame.data[: len(frame.data) - len(body)], json.loads(body)
        if head == "42":
            return {"refused": "error"}.get(fields[0], fields[0]), fields[1]
        return ("ack", fields[0]) if head.startswith("43") else (head, fields)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def come(http: aiohttp.ClientSession, peer: Server, token: str) -> Client:
    dialect = DIALECTS[peer.dialect]
    headers = {} if dialect.signs_in_later else {"Authorization": f"session_id {token}"}
    socket = await http.ws_connect(peer.process.url + dialect.path, headers=headers)
    return await Client(socket, peer.dialect).open(token)


async def stored(peer: Server) -> int:
    async with peer.cluster.connected() as connection:
        return int(await connection.fetchval("select count(*) from messages"))


async def test_a_peer_keeps_what_is_said_of_it(peer: Server, http: aiohttp.ClientSession) -> None:
    [pair, other] = await peer.pairs(2)
    alice, bob = [await come(http, peer, pair[side]) for side in ("sender", "partner")]
    mallory = await come(http, peer, other["sender"])
    lunch = pair["chat_id"]

    first = await alice.says(lunch, "pizza?", "key 1")
    again = await alice.says(lunch, "pizza?", "key 1")
    refused = await mallory.says(lunch, "let me in", "key 2")
    last = await alice.says(lunch, "at noon", "key 3")
    heard = [await bob.hear() for _ in range(2)]

    assert [first[0], again[0], refused[0], last[0]] == ["ack", "ack", "error", "ack"]
    assert again[1]["message_id"] == first[1]["message_id"] != last[1]["message_id"]
    assert [(what, fields["text"]) for what, fields in heard] == [("new_message", "pizza?"), ("new_message", "at noon")]
    assert await stored(peer) == 2


async def test_a_peer_lets_no_stranger_in(peer: Server, http: aiohttp.ClientSession) -> None:
    with pytest.raises((AssertionError, aiohttp.WSServerHandshakeError)) as refusal:
        stranger = await come(http, peer, "no such token")
        # Socket.io has let the socket open by then, and refuses in a frame of its own.
        await stranger.says(1, "hello", "key")
    assert "TimeoutError" not in refusal.exconly()


async def test_what_came_at_once_is_told_apart(peer: Server, http: aiohttp.ClientSession) -> None:
    """A repeat, a refused one and a new one: in one commit, where commits are joined."""
    [pair, other] = await peer.pairs(2)
    alice, bob = [await come(http, peer, pair[side]) for side in ("sender", "partner")]
    mallory = await come(http, peer, other["sender"])
    first = await alice.says(pair["chat_id"], "lunch?", "key 1")

    await alice.send(pair["chat_id"], "lunch?", "key 1")
    await mallory.send(pair["chat_id"], "not mine", "key 1")
    await mallory.send(other["chat_id"], "mine", "key 1")
    again, *told = [await one.hear() for one in (alice, mallory, mallory)]
    last = await alice.says(pair["chat_id"], "at noon", "key 2")

    assert again[1]["message_id"] == first[1]["message_id"]
    assert sorted(what for what, _ in told) == ["ack", "error"]
    assert [(await bob.hear())[1]["text"] for _ in range(2)] == ["lunch?", "at noon"]
    assert (last[0], await stored(peer)) == ("ack", 3)
