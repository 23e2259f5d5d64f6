"""The proxy's moods do to bytes what they say, to all of them and in their order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field

import pytest

from proof.lab.proxy import Mood, PostgresNotifications, Proxy, RedisPublishes, to_port

ReconnectingConnection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[ReconnectingConnection]]


@dataclass
class Echo:
    """Answers every line with itself, and remembers it."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list)
    answering: set["asyncio.Task[None]"] = field(default_factory=set)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.answering.add(task)
        with closing(writer), suppress(ConnectionError, asyncio.CancelledError):
            while line := await reader.readline():
                self.heard.append(line)
                writer.write(line)


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    server = await asyncio.start_server(echo.answer, "127.0.0.1", 0)
    echo.port = server.sockets[0].getsockname()[1]
    yield echo
    server.close()
    for task in echo.answering:
        task.cancel()
    await asyncio.gather(*echo.answering)


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    one = await Proxy(to_port(echo.port)).start()
    yield one
    await one.close()


@pytest.fixture
async def connect(proxy: Proxy) -> AsyncIterator[Connect]:
    lines: list[ReconnectingConnection] = []

    async def connected() -> ReconnectingConnection:
        lines.append(await asyncio.open_connection("127.0.0.1", proxy.port))
        assert await said(lines[-1], "hello") == "hello"
        return lines[-1]

    yield connected
    for _, writer in lines:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def said(line: ReconnectingConnection, words: str) -> str:
    line[1].write(f"{words}\n".encode())
    async with asyncio.timeout(5):
        return (await line[0].readline()).decode().strip()


async def test_it_passes_everything_on_and_an_end_too(proxy: Proxy, connect: Connect) -> None:
    line = await connect()
    big = "x" * 60_000

    assert await said(line, big) == big
    line[1].write_eof()
    async with asyncio.timeout(5):
        assert await line[0].read() == b""


async def test_a_slow_line_keeps_the_order_also_when_it_is_fast_again(proxy: Proxy, connect: Connect) -> None:
    line = await connect()
    slowly = asyncio.create_task(proxy.slowly(0.1, 0.05))
    await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    line[1].write(b"one\n")
    await slowly
    line[1].write(b"two\n")
    async with asyncio.timeout(5):
        words = [await line[0].readline() for _ in range(2)]

    assert words == [b"one\n", b"two\n"]
    assert asyncio.get_running_loop().time() - began >= 0.1


async def test_a_cut_is_a_reset(proxy: Proxy, connect: Connect) -> None:
    line = await connect()

    assert proxy.cut() == 1
    with pytest.raises(ConnectionResetError):
        await said(line, "anybody there?")


@pytest.mark.parametrize(("mood", "gets_through"), [(Mood.SILENT, False), (Mood.SWALLOWING, True)])
async def test_who_lost_bytes_by_a_mood_is_cut_at_its_end_and_others_are_not(
    proxy: Proxy, connect: Connect, echo: Echo, mood: Mood, gets_through: bool
) -> None:
    victim, other = await connect(), await connect()
    moody = asyncio.create_task(proxy.in_mood(mood, 0.1))
    await asyncio.sleep(0)
    victim[1].write(b"lost?\n")
    await asyncio.sleep(0.05)  # in the middle of the mood, when an answer to the first line would have come
    victim[1].write(b"and this?\n")

    assert await moody == 1
    with pytest.raises(ConnectionResetError):
        await said(victim, "anybody there?")
    assert await said(other, "still here") == "still here"
    assert [b"lost?\n" in echo.heard, b"and this?\n" in echo.heard] == [gets_through] * 2


def test_publishes_are_swallowed_whole_whatever_pieces_they_come_in() -> None:
    publish = b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$4\r\nr\r\n1\r\n"
    ping = b"*1\r\n$4\r\nPING\r\n"
    stream = ping + publish + ping + publish
    dropper = RedisPublishes()

    passed = [dropper.forth(stream[at : at + 1], True) for at in range(len(stream))]
    kept = dropper.forth(stream, False)

    assert b"".join(data for data, _ in passed) == ping + ping
    assert b"".join(answer for _, answer in passed) == b":0\r\n:0\r\n"
    assert dropper.dropped == 2
    assert kept == (stream, b"")


def test_only_the_notifications_of_the_wires_own_connection_are_swallowed() -> None:
    notification = b"A" + (16).to_bytes(4, "big") + b"123456789012"
    ready = b"Z" + (5).to_bytes(4, "big") + b"I"
    stream = ready + notification + ready

    for name, passes in ((b"messenger wire\0", ready + ready), (b"messenger\0", stream)):
        dropper = PostgresNotifications()
        dropper.forth(b"....application_name\0" + name, True)
        assert b"".join(dropper.back(stream[at : at + 1], True) for at in range(len(stream))) == passes
