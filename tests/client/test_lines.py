"""Whatever becomes of servers, lines and the client itself: every message once, every event once and in order."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from messenger.app import create_app
from messenger.apps.ws.handlers import SPREAD_MS
from messenger.client import Client, Event, NewMessage, Resync
from messenger.client.inbox import Events
from messenger.web.server import make_runner
from proof.lab.processes import ROOT, Process, clean_environment
from proof.lab.proxy import Dropper, Mood, Proxy, to_port
from proof.lab.waiting import happens, running
from tests.actors import PASSWORD, Person, Server
from tests.apps.talk import says
from tests.client.conftest import client_of, has_socket
from tests.conftest import configured
from tests.sizes import sized

pytestmark = pytest.mark.shared

KILLS = sized(5, least=1)

LISTENER = """
import asyncio, sys
from messenger.client import Client, NewMessage

async def listen(url, session_id):
    async with Client(url, session_id=session_id, cursor_file="cursor") as client:
        async for event in client.events():
            if isinstance(event, NewMessage):
                print(event.message.text, flush=True)

asyncio.run(listen(*sys.argv[1:]))
"""
BOT = re.search(r"```python\n(.+?)```", (ROOT / "docs/clients.md").read_text(), re.DOTALL)


@pytest.fixture
async def process(dsn: str, tmp_path: Path) -> AsyncIterator[Process]:
    """Beside `server`, on the same database."""
    process = Process(tmp_path, {"DATABASE_URL": dsn}).start()
    try:
        yield await process.ready()
    finally:
        process.kill()


@asynccontextmanager
async def proxied(server: Server, make_dropper=lambda: None) -> AsyncIterator[Proxy]:
    proxy = await Proxy(to_port(server.port), make_dropper).start()
    try:
        yield proxy
    finally:
        await proxy.close()


async def words_of(events: Events, many: int) -> list[str]:
    found: list[str] = []
    async with asyncio.timeout(60):
        while len(found) < many:
            event = await anext(events)
            if isinstance(event, NewMessage):
                found.append(event.message.text)
    return found


async def test_a_server_killed_in_the_middle_costs_no_message_and_no_event(
    impatient: None, process: Process, server: Server, alice: Person, bob: Person
) -> None:
    chat = await alice.opens_chat("lunch", members=[bob])
    words = [f"word {number}" for number in range(30 * (KILLS + 1))]
    async with (
        client_of(alice, process.url) as sender,
        client_of(bob, process.url) as here,
        client_of(bob, server.url) as there,
    ):
        for client in (sender, here, there):
            await client.sync()
        hearing = [asyncio.create_task(words_of(client.events(), len(words))) for client in (sender, here, there)]
        sends = []
        for number, word in enumerate(words):
            sends.append(asyncio.create_task(sender.send(chat, word)))
            await asyncio.sleep(0.002)
            if number in range(20, 30 * KILLS, 30):
                await happens(partial(_is_over, sends[number - 5]), "some of them are through")
                process.kill()
                process.start()

        sent = await asyncio.gather(*sends)

        assert [message.seq for message in sent] == list(range(1, len(words) + 1))
        assert await asyncio.gather(*hearing) == [words] * 3
        assert [message.text for message in await there.history(chat, limit=1000)] == words


async def _is_over(task: "asyncio.Task[object]") -> bool:
    return task.done()


async def test_lost_answers_and_cut_lines_double_nothing(
    impatient: None, server: Server, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messenger.client.rest.PATIENCE", 5.0)
    chat = await alice.opens_chat("lunch", members=[bob])
    words = [f"word {number}" for number in range(40)]
    async with (
        proxied(server) as proxy,
        client_of(alice, proxy.url) as sender,
        client_of(bob, proxy.url) as receiver,
    ):
        await receiver.sync()
        hearing = asyncio.create_task(words_of(receiver.events(), len(words)))
        async with running(_disturb(proxy)):
            sent = await asyncio.gather(*(sender.send(chat, word) for word in words))
            heard = await hearing

    assert [message.seq for message in sent] == list(range(1, len(words) + 1))
    assert heard == words


async def _disturb(proxy: Proxy) -> None:
    while True:
        await proxy.in_mood(Mood.SWALLOWING, 0.05)
        await asyncio.sleep(0.05)
        proxy.cut()
        await asyncio.sleep(0.05)


async def test_a_silent_line_is_given_up(
    server: Server, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messenger.client.line.HEARTBEAT", 0.4)
    chat = await alice.opens_chat("lunch", members=[bob])
    async with proxied(server) as proxy, client_of(bob, proxy.url) as client:
        await client.sync()
        events = client.events()
        await says(alice, chat, "before")
        assert await words_of(events, 1) == ["before"]
        silenced = set(proxy.passings)
        proxy.mood = Mood.SILENT
        hearing = asyncio.create_task(words_of(events, 1))
        await says(alice, chat, "in silence")
        await happens(partial(_are_others, proxy, silenced), "another line is tried")
        proxy.mood = Mood.OPEN
        proxy.cut(only_lossy=True)

        assert await hearing == ["in silence"]


async def _are_others(proxy: Proxy, before: set[object]) -> bool:
    return bool(proxy.passings - before)


class NoSockets(Dropper):
    """A proxy that does not know WebSocket: it passes the request on without the upgrade."""

    def forth(self, data: bytes, dropping: bool) -> tuple[bytes, bytes]:
        return data.replace(b"Upgrade: websocket", b"X-Upgrade: nothing"), b""


async def test_where_sockets_do_not_come_through_it_polls_and_later_tries_again(
    server: Server, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messenger.client.line.POLL", 1)
    chat = await alice.opens_chat("lunch", members=[bob])
    async with proxied(server, NoSockets) as proxy, client_of(bob, proxy.url) as client:
        await client.sync()
        events = client.events()
        for number in range(3):
            await says(alice, chat, f"word {number}")
        assert await words_of(events, 3) == ["word 0", "word 1", "word 2"]
        hearing = asyncio.create_task(words_of(events, 1))
        await happens(partial(_is_polling, client), "it polls")
        await says(alice, chat, "to who polls")
        assert await hearing == ["to who polls"]

        proxy.make_dropper = lambda: None
        proxy.cut()
        client._line._polls_until = 0.0
        hearing = asyncio.create_task(words_of(events, 1))
        await happens(partial(has_socket, client), "a socket is open")
        await says(alice, chat, "by socket")
        assert await hearing == ["by socket"]


async def _is_polling(client: Client) -> bool:
    return client._line._polls_until > 0


async def test_a_server_that_stops_says_when_to_come_back(
    dsn: str, tmp_path: Path, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("messenger.client.line.Line._wait", lambda self, seconds: waits.append(seconds))
    monkeypatch.setattr("messenger.client.patience.Backoff.seconds", lambda self, at_least=None: 99.0)
    async with Server.running(make_runner(create_app(configured(tmp_path, {}), dsn))) as stopping:
        client = await Client(stopping.url, session_id=alice.credentials["session_id"]).__aenter__()
        hearing = asyncio.create_task(anext(client.events()))
        await happens(partial(has_socket, client), "a socket is open")
    await happens(partial(_has_waited, waits), "the client was told to wait")
    hearing.cancel()
    await client.__aexit__(None, None, None)

    assert 0 <= waits[0] <= SPREAD_MS / 1000


async def _has_waited(waits: list[float]) -> bool:
    return bool(waits)


async def test_too_many_missed_is_told_and_followed_by_what_comes(alice: Person, tmp_path: Path) -> None:
    chat = await alice.opens_chat("notes")
    file = tmp_path / "cursor"
    file.write_text("unknown.1")
    async with client_of(alice, cursor_file=str(file)) as client:
        found: list[Event] = []
        async for event in client.events():
            found.append(event)
            if isinstance(event, Resync):
                await client.sync()
                await client.send(chat, "anew")
            elif isinstance(event, NewMessage):
                break

    assert [type(event) for event in found] == [Resync, NewMessage]


async def test_a_listener_killed_in_the_middle_hears_nothing_twice_but_what_it_had_in_hand(
    server: Server, alice: Person, bob: Person, tmp_path: Path
) -> None:
    (tmp_path / "listener.py").write_text(LISTENER)
    chat = await alice.opens_chat("lunch", members=[bob])
    words = [f"word {number}" for number in range(120)]
    arguments = ("listener.py", server.url, bob.credentials["session_id"])
    runs: list[list[str]] = []
    listener = begin(tmp_path, *arguments)
    try:
        await happens(partial(_exists, tmp_path / "cursor"), "it listens")
        for number, word in enumerate(words):
            await says(alice, chat, word)
            if number in {40, 80}:
                await happens(partial(_has_printed, tmp_path, sum(map(len, runs)) + 3), "it hears some of them")
                listener.kill()
                listener.wait()
                runs.append(printed(tmp_path)[sum(map(len, runs)) :])
                listener = begin(tmp_path, *arguments)
        await happens(partial(_has_printed, tmp_path, words[-1]), "it hears the last one")
    finally:
        listener.kill()
        listener.wait()
    runs.append(printed(tmp_path)[sum(map(len, runs)) :])

    heard = runs[0]
    for run in runs[1:]:
        heard += run[1:] if run[0] == heard[-1] else run
    assert heard == words


async def _has_printed(folder: Path, what: int | str) -> bool:
    return what in printed(folder) if isinstance(what, str) else len(printed(folder)) >= what


def printed(folder: Path) -> list[str]:
    return (folder / "said").read_text().splitlines()


async def test_the_bot_of_the_docs_answers_everything_once_however_often_it_is_killed(
    server: Server, alice: Person, bob: Person, tmp_path: Path
) -> None:
    assert BOT is not None
    (tmp_path / "echo.py").write_text(BOT[1])
    chat = await alice.opens_chat("lunch", members=[bob])
    words = [f"word {number}" for number in range(15)]
    arguments = ("echo.py", server.url, "bob", PASSWORD)
    echo = begin(tmp_path, *arguments)
    try:
        await happens(partial(_exists, tmp_path / "echo.cursor"), "the bot listens")
        for number, word in enumerate(words):
            await says(alice, chat, word)
            if number in {4, 9}:
                await happens(partial(_has_said, alice, chat, number - 2), "the bot answers")
                echo.kill()
                echo.wait()
                await says(alice, chat, word + " again")
                echo = begin(tmp_path, *arguments)
        expected = sorted([*words, "word 4 again", "word 9 again"])
        await happens(partial(_has_said, alice, chat, len(expected)), "the bot has answered all")
        echoes = await texts_of(alice, chat, bob)
    finally:
        echo.kill()
        echo.wait()

    assert sorted(echoes) == expected
    assert [word for word in echoes if "again" not in word] == words
    assert (tmp_path / "said").read_text() == ""
    assert len([line for line in BOT[1].splitlines() if line.strip()]) <= 15


def begin(folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    with (folder / "said").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**clean_environment(), "PYTHONPATH": str(ROOT)},
            stdout=said,
            stderr=said,
        )


async def texts_of(person: Person, chat: str, sender: Person) -> list[str]:
    page = (await person.get(f"/v1/chats/{chat}/messages?limit=1000")).expecting(200).json
    return [one["text"] for one in page["messages"] if one["sender_id"] == sender.user_id]


async def _has_said(person: Person, chat: str, many: int) -> bool:
    page = (await person.get(f"/v1/chats/{chat}/messages?limit=1000")).expecting(200).json
    return sum(one["sender_id"] != person.user_id for one in page["messages"]) >= many


async def _exists(path: Path) -> bool:
    return path.exists()
