"""Two workers of one machine, one of which writes for both: what each may rely on holds whatever happens between them.

Both run in the process of the test; lock, socket, frames and database are those of the product.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg
import pytest

from messenger.apps.messages.relaying import RELAY
from messenger.log import appender
from messenger.log import relay as relays
from messenger.log.relay import Guest, Relay
from proof.lab.waiting import happens
from tests.actors import Person, Server
from tests.people import present
from tests.sockets import SOON, Refused, Socket

HEAD_LOCK = "select pg_advisory_xact_lock(7236837)"


def relay_of(server: Server) -> Relay[Any]:
    return server.runner.app[RELAY]


async def is_so(fact: Callable[[], object]) -> bool:
    return bool(fact())


async def meet(writer: Server, *guests: Server) -> None:
    await happens(partial(is_so, lambda: len(relay_of(writer).guests) == len(guests)), "guests", SOON)
    await happens(partial(is_so, lambda: all(relay_of(one).writer for one in guests)), "their writer", SOON)


@dataclass
class Pair:
    """Alice's process lets the one of Bob write."""

    writer: Server
    guest: Server
    alice: Person
    bob: Person
    chat: str

    @property
    def link(self) -> Guest[Any]:
        (link,) = relay_of(self.writer).guests
        return link


@pytest.fixture
async def pair(start: Callable[..., Awaitable[Server]]) -> AsyncIterator[Pair]:
    writer = await start(WORKERS_NUM="2")
    await happens(partial(is_so, lambda: list(relay_of(writer)._folder.glob("writer-*.socket"))), "a writer", SOON)
    guest = await start(WORKERS_NUM="2")
    await meet(writer, guest)
    async with present(guest, "alice") as alice, present(writer, "bob") as bob:
        yield Pair(writer, guest, alice, bob, await alice.opens_chat("lunch", [bob]))


@asynccontextmanager
async def held_head(dsn: str) -> AsyncIterator[None]:
    """Nothing can be committed meanwhile."""
    stranger = await asyncpg.connect(dsn)
    async with stranger.transaction():
        await stranger.execute(HEAD_LOCK)
        yield
    await stranger.close()


async def says(socket: Socket, chat: str, texts: list[str], **more: Any) -> list["asyncio.Future[Any]"]:
    return [await socket.sends("new_message", chat_id=chat, text=text, **more) for text in texts]


async def acks(answers: list["asyncio.Future[Any]"]) -> list[Any]:
    return list(await asyncio.wait_for(asyncio.gather(*answers), SOON))


async def stored(sql: asyncpg.Connection, chat: str) -> list[str]:
    rows = await sql.fetch("select text, seq from messages where chat_id = $1 order by seq", int(chat))
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["text"] for row in rows]


async def hears_all(socket: Socket, texts: list[str]) -> None:
    assert [(await socket.hears("new_message"))["message"]["text"] for _ in texts] == texts


async def test_both_share_a_commit_and_the_guest_hears_of_it_without_a_read(
    pair: Pair, dsn: str, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "SILENCE", 3600.0)
    async with pair.alice.connects() as hers, pair.bob.connects() as his:
        async with held_head(dsn):
            first = await says(his, pair.chat, ["first"])
            await his.asks("ping")
            await asyncio.sleep(0.05)  # it is under way, and what comes now waits for the next commit
            answers = await says(hers, pair.chat, ["from the guest"]) + await says(his, pair.chat, ["from the writer"])
            await asyncio.gather(hers.asks("ping"), his.asks("ping"))
            await happens(partial(is_so, lambda: pair.link._drafts), "a draft at the writer", SOON)
        await acks(first + answers)
        commits = await sql.fetch("select count(*) as n from messages where seq > 1 group by xmin::text")

        assert [row["n"] for row in commits] == [2]
        heard = [(await hers.hears("new_message"))["message"]["text"] for _ in range(2)]
        assert heard == ["first", "from the writer"]
        assert (await his.hears("new_message"))["message"]["text"] == "from the guest"
        assert not [event for event in hers.hears_at_once() if event["type"] == "new_message"]


async def test_what_the_writer_answers_is_what_the_process_itself_would(pair: Pair, sql: asyncpg.Connection) -> None:
    async with pair.alice.connects() as hers, pair.bob.connects() as his:
        sent = await hers.asked("new_message", chat_id=pair.chat, text="pizza?", client_id="k")
        again = await hers.asked("new_message", chat_id=pair.chat, text="pizza?", client_id="k")
        refusals = []
        for words in (
            {"chat_id": pair.chat, "text": "pasta?", "client_id": "k"},
            {"chat_id": "999999", "text": "hello"},
            {"chat_id": pair.chat, "text": "hello", "reply_to": "999999"},
        ):
            with pytest.raises(Refused) as refused:
                await hers.asked("new_message", **words)
            refusals.append(refused.value.code)
        message = (await his.hears("new_message"))["message"]
        answer = await his.asks("new_message", chat_id=pair.chat, text="yes", reply_to=message["message_id"])
        mark = await hers.asks("read_message", chat_id=pair.chat, id=answer["message_id"])
        (read,) = (await his.hears("message_read"))["reads"]

    assert (sent["result"]["client_id"], "replayed" in sent, again["replayed"]) == ("k", False, True)
    assert sent["result"] | {"client_id": None} == message | {"client_id": None}
    assert again["result"]["message_id"] == sent["result"]["message_id"]
    assert refusals == ["idempotency-conflict", "chat-not-found", "message-not-found"]
    assert (mark["read_seq"], read["message_id"]) == (2, answer["message_id"])
    assert not relay_of(pair.guest).handed()


@pytest.mark.parametrize("keys", [{}, {"client_id": True}], ids=["without a key", "with a key"])
async def test_a_connection_that_is_cut_again_and_again_neither_loses_nor_doubles_nor_reorders(
    pair: Pair, sql: asyncpg.Connection, keys: dict[str, bool]
) -> None:
    texts = [f"no {number}" for number in range(300)]
    async with pair.alice.connects() as hers, pair.bob.connects() as his:
        answers = []
        for number, text in enumerate(texts):
            more = {"client_id": text} if keys else {}
            answers += await says(hers, pair.chat, [text], **more)
            if number % 30 == 29:
                for guest in tuple(relay_of(pair.writer).guests):
                    guest.end()
                await asyncio.sleep(relays.RETRY if number % 60 == 29 else 0)
        given = await acks(answers)
        await hears_all(his, texts)

        assert [ack["result"]["seq"] for ack in given] == list(range(1, len(texts) + 1))
        assert not [ack for ack in given if "replayed" in ack]
        assert not [event for event in hers.hears_at_once() if event["type"] == "new_message"]
    assert await stored(sql, pair.chat) == texts


async def test_a_silent_writer_is_not_waited_for_and_what_it_writes_later_is_there_already(
    pair: Pair, sql: asyncpg.Connection
) -> None:
    async with pair.alice.connects() as hers, pair.bob.connects() as his:
        await hers.asks("new_message", chat_id=pair.chat, text="hello")
        pair.link.transport.pause_reading()
        answers = await says(hers, pair.chat, ["one", "two"])
        given = await acks(answers)
        await hers.asks("new_message", chat_id=pair.chat, text="three")
        pair.link.transport.resume_reading()
        await happens(partial(is_so, lambda: not relay_of(pair.guest).writer._is_silent), "its answer", SOON)  # type: ignore[union-attr]
        await hers.asks("new_message", chat_id=pair.chat, text="four")
        await hears_all(his, ["hello", "one", "two", "three", "four"])

        assert [ack["result"]["seq"] for ack in given] == [2, 3]
        assert not [event for event in hers.hears_at_once() if event["type"] == "new_message"]
    assert await stored(sql, pair.chat) == ["hello", "one", "two", "three", "four"]


async def test_what_a_process_writes_itself_does_not_overtake_what_it_has_handed_over(
    pair: Pair, sql: asyncpg.Connection
) -> None:
    async with pair.alice.connects() as hers:
        pair.link.transport.pause_reading()
        answers = await says(hers, pair.chat, ["one"])
        await happens(partial(is_so, lambda: relay_of(pair.guest).handed()), "a draft on its way", SOON)
        relay_of(pair.guest).writer._is_silent = True  # type: ignore[union-attr]
        await acks(answers + await says(hers, pair.chat, ["two"]))
    assert await stored(sql, pair.chat) == ["one", "two"]


async def test_what_waits_when_the_connection_ends_is_written_by_its_own_process_only(
    pair: Pair, dsn: str, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "SILENCE", 3600.0)
    async with pair.alice.connects() as hers, pair.bob.connects() as his:
        async with held_head(dsn):
            answers = await says(his, pair.chat, ["first"])
            await his.asks("ping")
            await asyncio.sleep(0.05)  # it is under way, and what comes now waits for the next commit
            answers += await says(hers, pair.chat, ["second"])
            await happens(partial(is_so, lambda: pair.link._drafts), "a draft at the writer", SOON)
            pair.link.end()
            assert not relay_of(pair.writer).appender.waiting
        await acks(answers)
    assert await stored(sql, pair.chat) == ["first", "second"]


@pytest.mark.usefixtures("one_second")
async def test_what_was_refused_is_not_written_by_a_writer_that_stood_still(
    pair: Pair, dsn: str, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "PATIENCE", 1.0)
    async with pair.alice.connects() as hers:
        await hers.asks("new_message", chat_id=pair.chat, text="hello")
        pair.link.transport.pause_reading()
        link = pair.link
        async with held_head(dsn):
            (answer,) = await says(hers, pair.chat, ["late"])
            with pytest.raises(Refused) as refused:
                await asyncio.wait_for(answer, SOON)
        # It was under way from this process: whether it is stored is unknown. What the writer holds is older.
        before = await stored(sql, pair.chat)
        link.transport.resume_reading()
        await happens(partial(is_so, lambda: link not in relay_of(pair.writer).guests), "the end of the link", SOON)

    assert refused.value.code == "unavailable"
    assert len(before) <= 2


@pytest.mark.parametrize("is_known", [False, True], ids=["found out by it", "known to the writer"])
async def test_drafts_of_a_locked_chat_go_back_have_their_time_and_keep_their_order(
    pair: Pair, dsn: str, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    monkeypatch.setattr(relays, "SILENCE", 3600.0)
    monkeypatch.setattr(appender, "PATIENCE", 2.0)
    texts = [f"no {number}" for number in range(20)]
    locking = await asyncpg.connect(dsn)
    async with pair.alice.connects() as hers, pair.bob.connects() as his:
        await hers.asks("new_message", chat_id=pair.chat, text="hello")
        async with locking.transaction():
            await locking.execute("select 1 from chats where id = $1 for update", int(pair.chat))
            before = await says(his, pair.chat, ["before"]) if is_known else []
            if is_known:
                await happens(partial(is_so, lambda: relay_of(pair.writer).appender._locked), "it is known", SOON)
            answers = await says(hers, pair.chat, texts[:10])
            await asyncio.sleep(appender.PATIENCE + appender.LATE)
            assert not any(answer.done() for answer in answers)
            answers += await says(hers, pair.chat, texts[10:])
            await hers.asks("ping")
        await acks(before + answers)
    await locking.close()
    assert [text for text in await stored(sql, pair.chat) if text.startswith("no")] == texts


async def test_when_the_writer_leaves_a_guest_writes_for_those_that_are_left(
    pair: Pair, start: Callable[..., Awaitable[Server]], sql: asyncpg.Connection
) -> None:
    third = await start(WORKERS_NUM="2")
    await meet(pair.writer, pair.guest, third)
    async with pair.alice.connects() as hers:
        answers = await says(hers, pair.chat, [f"no {number}" for number in range(50)])
        await relay_of(pair.writer).stop()
        answers += await says(hers, pair.chat, [f"no {number}" for number in range(50, 100)])
        await acks(answers)
    relays_left = relay_of(pair.guest), relay_of(third)
    await happens(partial(is_so, lambda: any(one.guests for one in relays_left)), "another writer", SOON)
    assert await stored(sql, pair.chat) == [f"no {number}" for number in range(100)]


@pytest.mark.parametrize("lost", ["socket", "lock"])
async def test_when_somebody_removes_a_file_there_is_a_new_election(
    pair: Pair,
    start: Callable[..., Awaitable[Server]],
    sql: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
) -> None:
    monkeypatch.setattr(relays, "LOOK", 0.01)
    texts = [f"no {number}" for number in range(50)]
    (file,) = relay_of(pair.writer)._folder.glob(f"writer-*.{lost}")
    async with pair.alice.connects() as hers:
        answers = await says(hers, pair.chat, texts[:25])
        file.unlink()
        third = await start(WORKERS_NUM="2")
        everybody = [relay_of(one) for one in (pair.writer, pair.guest, third)]
        await happens(partial(is_so, lambda: sorted(len(one.guests) for one in everybody) == [0, 0, 2]), "guests", SOON)
        answers += await says(hers, pair.chat, texts[25:])
        await acks(answers)
    assert await stored(sql, pair.chat) == texts


async def test_the_entry_of_a_draft_that_was_given_back_comes_after_its_ack(pair: Pair, dsn: str) -> None:
    """The writer stores it at last, while its own process is about to find that out."""
    async with pair.alice.connects() as hers, pair.bob.connects() as his:
        for number in range(5):
            async with held_head(dsn):
                (answer,) = await says(hers, pair.chat, [f"no {number}"])
                await happens(partial(is_so, lambda: relay_of(pair.writer).appender.under_way), "its writing", SOON)
                await happens(partial(is_so, lambda: relay_of(pair.guest).appender.under_way), "doubts", SOON)
            (ack,) = await acks([answer])
            assert "replayed" not in ack
            await hears_all(his, [f"no {number}"])
        await his.asks("new_message", chat_id=pair.chat, text="the end")
        assert (await hers.hears("new_message"))["message"]["text"] == "the end"
