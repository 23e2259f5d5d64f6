"""What other rooms count is told as it is: messages, batches, deliveries, sockets, the log and its followers."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from math import isnan

import asyncpg
import pytest

from messenger.apps.messages.relaying import RELAY
from messenger.log import relay
from messenger.web.app_keys import LOG
from proof.lab.waiting import happens
from tests.actors import Person, Server
from tests.apps.metrics.scrapes import scraped, value
from tests.apps.ws.raw import CLOSE, frame, raw_socket
from tests.people import present
from tests.sockets import SOON, Refused

SENT, REFUSED = "messenger_messages_sent_total", "messenger_messages_refused_total"
CLOSED = "messenger_ws_closed_total"
LAG = "messenger_follower_lag"
FOLLOWER_LOCK = "select pg_advisory_xact_lock(7236840)"
ASKED = """
    select count(*) from pg_stat_activity
     where datname = current_database() and state = 'active' and query like 'select status, count(*)%'
"""


async def told(person: Person, what: str, wanted: float, **labels: str) -> None:
    """Sooner or later."""

    async def is_told() -> bool:
        return value(await scraped(person), what, **labels) == wanted

    await happens(is_told, f"{what} {labels} {wanted}", SOON)


async def test_messages_are_counted_by_entrance_and_repeats_apart(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch", [bob])
    path = f"/v1/chats/{chat}/messages"
    for _ in range(3):
        assert (await alice.post(path, {"text": "pizza?", "client_id": "one"})).status in {200, 201}
    async with bob.connects() as socket:
        for key in ("two", "two", "three"):
            await socket.asks("new_message", chat_id=chat, text="sushi!", client_id=key)
        with pytest.raises(Refused):
            await socket.asks("new_message", chat_id="999999", text="anybody?")

    series = await scraped(alice)

    assert value(series, SENT, via="rest", duplicate="false") == 1
    assert value(series, SENT, via="rest", duplicate="true") == 2
    assert value(series, SENT, via="ws", duplicate="false") == 2
    assert value(series, SENT, via="ws", duplicate="true") == 1
    assert value(series, REFUSED, code="chat-not-found") == 1


async def test_batches_and_deliveries_are_timed(alice: Person, bob: Person) -> None:
    chat = await alice.opens_chat("lunch", [bob])
    before = await scraped(alice)
    async with bob.connects() as socket:
        await asyncio.gather(*(alice.post(f"/v1/chats/{chat}/messages", {"text": str(n)}) for n in range(20)))
        for _ in range(20):
            await socket.hears("new_message")

    after = await scraped(alice)

    def more(name: str) -> float:
        return value(after, f"messenger_{name}") - value(before, f"messenger_{name}")

    assert more("append_batch_size_sum") == 20
    assert 1 <= more("append_batch_size_count") == more("append_duration_seconds_count") <= 20
    assert more("delivery_latency_seconds_count") >= more("append_batch_size_count")
    assert 0 < more("append_duration_seconds_sum")
    assert 0 < more("delivery_latency_seconds_sum")


async def test_a_relayed_message_is_counted_where_it_came_from_and_timed_where_it_goes(
    start: Callable[..., Awaitable[Server]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "SILENCE", 3600.0)  # on a busy machine the guest would write by itself
    writer = await start(WORKERS_NUM="2")
    folder = writer.runner.app[RELAY]._folder

    async def has(one: Server, guests: int) -> bool:
        found = one.runner.app[RELAY]
        return len(found.guests) == guests and (one is writer or found.writer is not None)

    async def is_writer() -> bool:
        return any(folder.glob("writer-*.socket"))

    await happens(is_writer, "a writer", SOON)
    guest = await start(WORKERS_NUM="2")
    await happens(partial(has, writer, 1), "a guest", SOON)
    await happens(partial(has, guest, 0), "its writer", SOON)
    async with present(guest, "alice") as alice, present(writer, "bob") as bob:
        chat = await alice.opens_chat("lunch", [bob])
        async with alice.connects() as hers, bob.connects() as his:
            for number in range(5):
                await hers.asks("new_message", chat_id=chat, text=str(number))
                await his.hears("new_message")
            deliveries = guest.runner.app[LOG].tail.deliveries
            before = sum(deliveries.counts)
            await his.asks("new_message", chat_id=chat, text="from here")
            await hers.hears("new_message")
        of_guest, of_writer = await scraped(alice), await scraped(bob)

    assert value(of_guest, SENT, via="ws", duplicate="false") == 5
    assert value(of_writer, SENT, via="ws", duplicate="false") == 1
    assert value(of_writer, "messenger_append_batch_size_sum") == 6
    assert value(of_guest, "messenger_append_batch_size_sum") == 0
    assert value(of_guest, "messenger_delivery_latency_seconds_count") > before


async def test_sockets_are_counted_while_they_are_open_and_by_the_code_of_their_end(alice: Person) -> None:
    codes = {1001: "1001", 4999: "other"}
    for code in codes:
        async with raw_socket(alice) as socket:
            await told(alice, "messenger_ws_connections", 1)
            await socket.says(frame(code.to_bytes(2, "big"), CLOSE))
            assert await socket.is_closed_with() == code
    async with raw_socket(alice) as socket:
        await socket.says(b"this is no frame")
        assert await socket.is_closed_with() == 1002
    async with raw_socket(alice) as socket:
        socket.writer.transport.abort()
        await told(alice, CLOSED, 1, code="1006")
    async with alice.on_another_device() as device, device.connects() as socket:
        await device.signs_out()
        assert await socket.closes() == 4502

    await told(alice, "messenger_ws_connections", 0)
    series = await scraped(alice)

    assert {code: value(series, CLOSED, code=code) for code in ("1001", "other", "1002", "1006", "4502")} == {
        "1001": 1, "other": 1, "1002": 1, "1006": 1, "4502": 1,
    }  # fmt: skip
    assert value(series, CLOSED, code="4001") == 0


async def test_the_position_is_told_and_so_is_a_tail_that_does_not_follow(
    alice: Person, sql: asyncpg.Connection
) -> None:
    stream = alice.server.runner.app[LOG]
    await alice.opens_chat("lunch")
    await told(alice, "messenger_log_position", await sql.fetchval("select max(position) from log_head"))
    follows = value(await scraped(alice), "messenger_tail_lag_seconds")

    async with sql.transaction():
        await sql.execute("lock table log_head in access exclusive mode")  # who looks for news waits

        async def is_late() -> bool:
            return stream.tail.lag > follows + 1

        await happens(is_late, "a tail that is late", SOON)
        late = value(await scraped(alice), "messenger_tail_lag_seconds")

    assert late > follows + 1
    await happens(partial(is_below, alice, late), "a tail that follows again", SOON)


async def is_below(person: Person, lag: float) -> bool:
    return value(await scraped(person), "messenger_tail_lag_seconds") < lag


async def test_a_new_epoch_is_counted(alice: Person, sql: asyncpg.Connection) -> None:
    await alice.opens_chat("lunch")  # in a copy of the template, so this begins one
    await told(alice, "messenger_epoch_changes_total", 1)

    await sql.execute("update log_head set origin = 'another server'")
    await alice.opens_chat("dinner")

    await told(alice, "messenger_epoch_changes_total", 2)


async def test_what_the_index_has_still_to_read_is_told(alice: Person, sql: asyncpg.Connection) -> None:
    chat = await alice.opens_chat("lunch")
    await told(alice, f"{LAG}_entries", 0, follower="search")
    async with sql.transaction():
        await sql.execute(FOLLOWER_LOCK)
        for text in ("pizza?", "sushi!"):
            (await alice.post(f"/v1/chats/{chat}/messages", {"text": text})).expecting(201)

        await told(alice, f"{LAG}_entries", 2, follower="search")
        assert value(await scraped(alice), f"{LAG}_seconds", follower="search") > 0

    await told(alice, f"{LAG}_entries", 0, follower="search")
    assert value(await scraped(alice), f"{LAG}_seconds", follower="search") == 0


@pytest.mark.parametrize("settings", [{"SEARCH_DELAY": "3600"}])
async def test_search_tasks_are_told_by_their_state(alice: Person, sql: asyncpg.Connection) -> None:
    for words in ("pizza", "sushi"):
        (await alice.post("/v1/chats/search", {"message": words})).expecting(201)
    await sql.execute("update search_tasks set status = 'FAILED' where text = 'sushi'")

    series = await scraped(alice)

    states = ("WAITING", "IN_PROCESS", "SUCCESS", "FAILED")
    assert [value(series, "messenger_search_tasks", state=state) for state in states] == [1, 0, 0, 1]


async def test_what_the_database_does_not_tell_in_time_is_not_known_and_the_rest_is(
    alice: Person, sql: asyncpg.Connection
) -> None:
    await alice.opens_chat("lunch")
    await told(alice, "messenger_search_tasks", 0, state="WAITING")
    async with sql.transaction():
        await sql.execute("lock table search_tasks in access exclusive mode")

        series = await scraped(alice)

        assert isnan(value(series, "messenger_search_tasks", state="WAITING"))
        assert isnan(value(series, f"{LAG}_seconds", follower="search"))
        assert value(series, "messenger_log_position") > 0
    await told(alice, "messenger_search_tasks", 0, state="WAITING")


async def test_many_scrapes_at_once_ask_the_database_one_question_at_a_time(
    alice: Person, sql: asyncpg.Connection
) -> None:
    async with sql.transaction():
        await sql.execute("lock table search_tasks in access exclusive mode")

        scrapes = asyncio.gather(*(scraped(alice) for _ in range(20)))
        asked = []
        while not scrapes.done():
            await sql.execute("select pg_stat_clear_snapshot()")
            asked.append(await sql.fetchval(ASKED))
            await asyncio.sleep(0.01)

        await scrapes
        assert max(asked) == 1
