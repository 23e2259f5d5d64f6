"""Why sockets end: lost heartbeats, readers too slow, sessions that end, servers that stop."""

import asyncio
import json
import socket
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from messenger.app import create_app
from messenger.apps.events.handlers import STREAMS
from messenger.apps.ws import closing
from messenger.apps.ws.handlers import CONTEXT, SPREAD_MS
from messenger.web.server import Deadlines, GuardedServer, make_runner
from messenger.web.sockets.closing import TOO_SLOW
from messenger.web.sockets.links import MOST_PINGS, OPEN_LINKS, Pace
from messenger.web.sockets.outbox import MOST_BYTES, SMALL
from tests.actors import PASSWORD, Person, Server
from tests.apps.ws.raw import CLOSE, PING, PONG, TEXT, frame, raw_socket
from tests.frames import FRAMES
from tests.sockets import UPGRADE, Refused


def test_the_table_of_codes_is_the_published_one():
    published = FRAMES.document["channels"]["socket"]["x-close-codes"]

    assert {str(one.code): {"reason": one.reason, "when": one.when} for one in closing.CLOSINGS} == published


async def test_who_does_not_answer_two_pings_is_closed_and_who_answers_or_speaks_is_not(hurried):
    async with Person.registered(hurried, "alice") as alice:
        async with raw_socket(alice) as silent, raw_socket(alice) as answering, alice.connects() as speaking:
            heard = []
            while not heard or heard[-1][0] != CLOSE:
                heard.append(await silent.hears())
                if heard[-1][0] == PING:
                    assert await speaking.asks("ping") == {}
                    opcode, payload = await answering.hears()
                    assert opcode == PING
                    await answering.says(frame(payload, PONG))

            assert [opcode for opcode, _ in heard] == [PING, PING, CLOSE]
            assert heard[-1][1] == (4000).to_bytes(2, "big") + b"heartbeat lost"
            await answering.says(frame(b'{"type":"ping"}'))
            while (heard_now := await answering.hears())[0] == PING:
                await answering.says(frame(b"", PONG))
            assert heard_now == (TEXT, b'{"type":"pong"}')


def test_a_client_that_is_gone_without_a_word_is_noticed_within_a_minute():
    pace = Pace()

    assert pace.heartbeat + MOST_PINGS * pace.pong <= 60


async def test_a_socket_that_never_reads_is_given_up_with_bounded_memory_and_others_do_not_feel_it(server, alice, bob):
    lunch = await alice.opens_chat("lunch", [bob])
    text = "\N{SLICE OF PIZZA}" * 4096  # 16 KiB each
    async with raw_socket(alice, receive_buffer=4096), AsyncExitStack() as stack:
        (deaf,) = server.runner.app[CONTEXT].links
        reading = await stack.enter_async_context(alice.connects())
        his = await stack.enter_async_context(bob.connects())
        most, number = 0, 0
        while deaf.closed_with is None:
            answers = [await his.sends("new_message", chat_id=lunch, text=text) for _ in range(20)]
            await asyncio.gather(*answers)
            number += 20
            most = max(most, deaf.outbox._bytes + deaf._transport.get_write_buffer_size())
            assert number < 2000, "nobody gave up"

        assert deaf.closed_with is TOO_SLOW
        assert most <= MOST_BYTES + 2 * len(text.encode()) + (1 << 16)
        async with asyncio.timeout(5):
            while deaf in server.runner.app[CONTEXT].links:
                await asyncio.sleep(0.01)
        assert deaf._transport.get_write_buffer_size() == 0, "its memory was not let go"
        async with asyncio.timeout(10):
            for _ in range(number):
                await reading.hears("new_message")
        assert await his.asks("ping") == {}


@pytest.mark.parametrize("path", ["/v1/ws", "/chats/ws", "/ws/{chat}", "/v1/events?format=ndjson"])
async def test_a_reader_that_stops_is_cut_in_time_though_little_waits_for_it(dsn, config, path):
    """Less than the bound of an outbox, and more than the kernel takes: nothing overflows, and nothing moves."""
    runner = make_runner(create_app(config, dsn), Deadlines(write=0.5))
    async with (
        Server.running(runner) as server,
        Person.registered(server, "alice") as alice,
        Person.registered(server, "bob") as bob,
        bob.connects() as his,
    ):
        lunch = await alice.opens_chat("lunch", [bob])
        async with stopped_reading(alice, path.format(chat=lunch)) as port:
            assert isinstance(runner.server, GuardedServer)

            def wires():
                requests = [one.stall_watch._transport for one in runner.server.connections if one.stall_watch]
                sockets = [link._transport for links in runner.app[OPEN_LINKS] for link in links]
                return [one for one in requests + sockets if one.get_extra_info("peername")[1] == port]

            assert len(wires()) == 1
            async with asyncio.timeout(30):
                while [one for one in wires() if one.get_write_buffer_size() <= SMALL]:
                    await his.asks("new_message", chat_id=lunch, text="\N{SLICE OF PIZZA}" * 4096)
                while wires():
                    await asyncio.sleep(0.02)

        assert await his.asks("ping") == {}


def test_who_does_not_read_is_cut_within_fifteen_seconds():
    assert Deadlines().write <= 15


@asynccontextmanager
async def stopped_reading(person, path):
    """A connection whose answer has begun and is read no further."""
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.setblocking(False)
    await asyncio.get_running_loop().sock_connect(wire, ("127.0.0.1", person.server.port))
    reader, writer = await asyncio.open_connection(sock=wire, limit=4096)
    upgrade = {} if "events" in path else UPGRADE
    lines = [f"GET {path} HTTP/1.1", "Host: here", *(f"{k}: {v}" for k, v in {**upgrade, **person.headers}.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith((b"HTTP/1.1 101 ", b"HTTP/1.1 200 "))
        yield wire.getsockname()[1]
    finally:
        writer.transport.abort()


async def test_a_logout_ends_every_transport_of_that_session_and_no_other(alice, bob):
    lunch = await bob.opens_chat("lunch", [alice])
    async with alice.on_another_device() as phone, AsyncExitStack() as stack:
        entered = stack.enter_async_context
        socket, another = await entered(alice.connects()), await entered(alice.connects())
        lives = await entered(phone.connects())
        streams = [await entered(alice.streams(form)) for form in ("sse", "ndjson")]
        poll = asyncio.create_task(alice.get(f"/v1/events?wait=30&after={socket.ready['cursor']}"))
        await alice.post(f"/v1/chats/{lunch}/read", {"message_id": "1"})  # something else under way
        began = time.monotonic()

        await alice.signs_out()
        await bob.post(f"/v1/chats/{lunch}/messages", {"text": "are you there?"})

        assert await socket.closes() == await another.closes() == 4502
        for stream in streams:
            await stream.closes()
        events = (await poll).json["events"]
        assert time.monotonic() - began < 1
        for heard in (socket.heard, another.heard, streams[0].heard, streams[1].heard, events):
            assert [one["type"] for one in heard] == ["session_revoked"]
        assert (await lives.hears("new_message"))["message"]["text"] == "are you there?"
        assert (await alice.get(f"/v1/events?after={socket.ready['cursor']}")).code == "session-revoked"


async def test_the_end_of_a_session_is_heard_on_another_server_too_however_it_ends(alice, start):
    elsewhere = await start()
    async with AsyncExitStack() as stack:
        devices = [await stack.enter_async_context(alice.on_another_device(client_id=f"d{n}")) for n in range(4)]
        sockets = [await stack.enter_async_context(one.connects(elsewhere)) for one in devices]
        streams = [await stack.enter_async_context(one.streams(server=elsewhere)) for one in devices]
        ids = [one.ready["session_id"] for one in sockets]

        (await alice.asks("DELETE", f"/v1/auth/sessions/{ids[0]}")).expecting(204)
        assert await sockets[0].closes(1) == 4502
        await alice.signs_in(client_id="d1")  # in place of the one this device had
        assert await sockets[1].closes(1) == 4502
        body = {"current_password": PASSWORD, "new_password": "another one"}
        (await devices[2].post("/v1/auth/password", body)).expecting(204)
        assert await sockets[3].closes(1) == 4502
        for stream in (streams[0], streams[1], streams[3]):
            await stream.closes(1)
        assert await sockets[2].asks("ping") == {}


async def test_no_frame_is_accepted_after_the_end_of_its_session(alice, bob, sql):
    """Sends pour in while the session ends: what comes after its end is refused or not heard, never stored."""
    lunch = await alice.opens_chat("lunch", [bob])
    async with alice.on_another_device() as phone, phone.connects() as socket, bob.connects() as his:
        acked: list[int] = []

        async def pour() -> None:
            for number in range(5000):
                try:
                    answer = await socket.sends("new_message", chat_id=lunch, text=f"{number}")
                    answer.add_done_callback(
                        lambda one: one.exception() or acked.append(int(one.result()["result"]["message_id"]))
                    )
                    await socket.says(json.dumps({"type": "typing", "chat_id": lunch}))
                    await asyncio.sleep(0)
                except ConnectionError:
                    return

        pouring = asyncio.create_task(pour())
        while len(acked) < 20:
            await asyncio.sleep(0.005)
        (await phone.post("/v1/auth/logout")).expecting(200)
        at = await sql.fetchval("select position from log_entries where kind = 'session_revoked'")
        assert await socket.closes() == 4502
        await pouring
        his.hears_at_once()

        stored = await sql.fetchval("select max(id) from messages")
        assert stored < at
        assert max(acked) <= stored
        await bob.post(f"/v1/chats/{lunch}/messages", {"text": "and now?"})
        assert await sql.fetchval("select count(*) from messages where id > $1", at) == 1


async def test_a_server_that_stops_sends_everybody_away_with_a_spread_delay(alice, start, server):
    stopping = await start()
    away = Person(stopping, alice.http, headers=alice.headers)
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(raw_socket(away)) for _ in range(6)]
        stream = await stack.enter_async_context(alice.streams("ndjson", stopping))
        poll = asyncio.create_task(away.get("/v1/events?wait=30"))
        async with asyncio.timeout(5):
            streams = stopping.runner.app[STREAMS]
            while [one.subscription.is_live for one in streams] != [True, True]:
                await asyncio.sleep(0.01)

        began = time.monotonic()
        cleaning = asyncio.create_task(stopping.runner.cleanup())
        delays = []
        for one in sockets:
            opcode, payload = await one.hears()
            assert (opcode, payload[:2]) == (CLOSE, (4004).to_bytes(2, "big"))
            delays.append(int(payload[2:]))
            await one.says(frame(payload[:2], CLOSE))
        await cleaning

        assert time.monotonic() - began < 3
        assert all(0 <= delay <= SPREAD_MS for delay in delays) and len(set(delays)) > 1, delays
        await stream.closes()
        assert (await poll).expecting(503).headers["Retry-After"] == "1"
    cursor = (await alice.get("/v1/sync")).json["cursor"]
    async with alice.connects(server, cursor=cursor) as back:
        assert (await back.hears("resumed"))["replayed"] == 0


async def test_a_draining_server_opens_no_more(server, alice):
    server.runner.drain()

    with pytest.raises(Refused) as refused:
        async with alice.connects():
            pass
    assert refused.value.status == 503
    assert (await alice.get("/v1/events")).expecting(503).headers["Retry-After"] == "1"
