"""The database stored it and its answer got lost: the server finds out by itself, and nobody outside notices."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from messenger.app import create_app
from messenger.db.private import keeper
from messenger.log import appender
from messenger.web.server import make_runner
from proof.lab.proxy import Mood, Proxy, to_file
from proof.lab.waiting import happens
from tests.actors import Person, Server
from tests.conftest import configured
from tests.sockets import SOON, Refused

pytestmark = pytest.mark.usefixtures("one_second")

ROUNDS = 5


@pytest.fixture
async def line(dsn: str) -> AsyncIterator[Proxy]:
    """Between the server and its database."""
    folder = parse_qs(urlsplit(dsn).query)["host"][0]
    proxy = await Proxy(to_file(f"{folder}/{keeper.SOCKET}")).start()
    yield proxy
    await proxy.close()


@pytest.fixture
async def server(dsn: str, line: Proxy, tmp_path: Path) -> AsyncIterator[Server]:
    url = f"postgresql://messenger@127.0.0.1:{line.port}{urlsplit(dsn).path}?sslmode=disable"
    async with Server.running(make_runner(create_app(configured(tmp_path, {}), url))) as running:
        yield running


async def test_a_commit_whose_answer_got_lost_is_acknowledged_as_new_and_not_heard_as_well(
    alice: Person, bob: Person, line: Proxy, sql: asyncpg.Connection
) -> None:
    lunch = await alice.opens_chat("lunch", [bob])

    async with alice.connects() as hers, bob.connects() as his:
        await hers.asks("new_message", chat_id=lunch, text="hello")  # from here on she is remembered
        await his.hears("new_message")
        for number in range(ROUNDS):
            await hers.asks("new_message", chat_id=lunch, text="hello")  # and from here on the statement is prepared
            await his.hears("new_message")
            line.mood = Mood.SWALLOWING
            answer = await hers.sends("new_message", chat_id=lunch, text=f"{number}", client_id=f"k{number}")

            async def is_stored(number: int = number) -> bool:
                return bool(await sql.fetchval("select count(*) from messages where text = $1", f"{number}"))

            await happens(is_stored, "the commit", 5)
            line.mood = Mood.OPEN
            line.cut()
            ack = await answer
            heard = await his.hears("new_message", within=5)

            assert (ack["result"]["seq"], "replayed" in ack) == (2 * number + 3, False)
            assert heard["message"]["text"] == f"{number}"
        await (await his.sends("new_message", chat_id=lunch, text="the end"))
        await hers.hears("new_message")

        assert [event["message"]["text"] for event in hers.heard if event["type"] == "new_message"] == ["the end"]


@pytest.mark.parametrize("device", ["the same", "another"])
async def test_who_was_told_unknown_and_says_it_again_is_told_that_it_was_stored_also_after_a_second_loss(
    alice: Person, line: Proxy, sql: asyncpg.Connection, device: str
) -> None:
    """The first copy was stored, the second meets a lost database too: what is found then is not the second's doing."""
    lunch = await alice.opens_chat("lunch")
    words = {"chat_id": lunch, "text": "pizza?", "client_id": "k"}
    refused = 0

    async def refuse(make: object) -> object:
        nonlocal refused
        refused += 1
        raise ConnectionRefusedError

    async def is_stored() -> bool:
        return bool(await sql.fetchval("select count(*) from messages where text = 'pizza?'"))

    async def is_tried_again(before: int) -> bool:
        return refused > before

    async with alice.connects() as phone, alice.connects() as laptop:
        await phone.asks("new_message", chat_id=lunch, text="hello")
        line.mood, connect = Mood.SWALLOWING, line.connect
        first = await phone.sends("new_message", **words)
        await happens(is_stored, "the commit", 5)
        line.mood, line.connect = Mood.OPEN, refuse  # type: ignore[assignment]
        line.cut()
        with pytest.raises(Refused) as unknown:
            await first
        again = await (phone if device == "the same" else laptop).sends("new_message", **words)
        await happens(partial(is_tried_again, refused + 2), "another try", 5)
        line.connect = connect
        ack = await again

    assert unknown.value.code == "unavailable"
    assert (ack.get("replayed"), ack["result"]["seq"]) == (True, 2)


@pytest.mark.parametrize("mood", [Mood.SWALLOWING, Mood.SILENT], ids=["its answer is lost", "it never arrives"])
async def test_of_one_key_sent_to_two_processes_at_once_one_is_new_whatever_is_lost(
    alice: Person,
    line: Proxy,
    sql: asyncpg.Connection,
    start: Callable[..., Awaitable[Server]],
    monkeypatch: pytest.MonkeyPatch,
    mood: Mood,
) -> None:
    """The second process stores or finds it while the first does not know what became of its own copy."""
    monkeypatch.setattr(appender, "PATIENCE", 3600.0)
    lunch, other = await alice.opens_chat("lunch"), await start()

    async with alice.connects() as here, alice.connects(other) as there:
        await here.asks("new_message", chat_id=lunch, text="hello")
        for number in range(ROUNDS):
            words = {"chat_id": lunch, "text": "pizza?", "client_id": f"k{number}"}
            line.mood = mood
            first = await here.sends("new_message", **words)
            await here.asks("ping")  # frames are dealt with in their order: it is on its way
            if mood is Mood.SWALLOWING:
                await happens(partial(stored, sql, f"c:k{number}"), "the commit", 5)
            second = await there.asked("new_message", **words)
            line.mood = Mood.OPEN
            line.cut()
            acks = [await asyncio.wait_for(first, SOON), second]

            assert [ack.get("replayed", False) for ack in acks] == [mood is Mood.SILENT, mood is Mood.SWALLOWING]
            assert acks[0]["result"]["message_id"] == acks[1]["result"]["message_id"]


async def stored(sql: asyncpg.Connection, key: str) -> bool:
    return bool(await sql.fetchval("select count(*) from messages where key = $1", key))
