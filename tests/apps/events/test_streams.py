"""The stream without a socket: how its three forms are written, and when they end."""

import asyncio
import json
import time

import pytest

from messenger.app import create_app
from messenger.apps.events.handlers import ENOUGH_EVENTS, KEEPALIVE, STREAMS
from messenger.web.server import make_runner
from tests.actors import Person, Server
from tests.apps.talk import fill, says, told


async def test_an_event_stream_says_how_to_come_back_before_anything_happened(alice, server):
    url = server.url + "/v1/events"
    async with alice.http.get(url, headers={**alice.headers, "Accept": "text/event-stream"}) as response:
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "private, no-cache"
        first = await asyncio.wait_for(response.content.readuntil(b"\n\n"), 5)
    cursor = (await alice.get("/v1/sync")).json["cursor"]
    assert first == b"retry: 1000\nid: %b\n\n" % cursor.encode()
    await alice.opens_chat("lunch")

    async with alice.streams(headers={"Last-Event-ID": cursor}) as stream:
        assert (await stream.hears())["type"] == "member_added"
    other = (await alice.get("/v1/sync")).json["cursor"]
    async with alice.streams(after=cursor, headers={"Last-Event-ID": other}) as stream:  # the browser's word wins
        await alice.opens_chat("dinner")
        assert int((await stream.hears())["cursor"].partition(".")[2]) > int(other.partition(".")[2])


async def test_an_event_stream_that_left_something_out_is_not_told_of_it_again(alice, bob, sql, server):
    news = await alice.opens_chat("news", [bob])
    missed = (await bob.get("/v1/sync")).json["cursor"]
    await fill(sql, news, alice, 5001)
    path, headers = "/v1/events?after=", {**bob.headers, "Accept": "text/event-stream"}
    async with bob.http.get(server.url + path + missed, headers=headers) as response:
        blocks = [await asyncio.wait_for(response.content.readuntil(b"\n\n"), 5) for _ in range(3)]
    assert [block.splitlines()[1] for block in blocks[:2]] == [b"id: " + missed.encode(), b"event: limited"]
    passed = blocks[2].removeprefix(b"id: ").decode().strip()

    assert (await bob.get(path + passed)).json == {"events": [], "cursor": passed}


async def test_silent_streams_show_signs_of_life(dsn, config):
    app = create_app(config, dsn)
    app[KEEPALIVE] = 0.05
    async with Server.running(make_runner(app)) as server, Person.registered(server, "alice") as alice:
        for form, sign in (("sse", b": still here\n\n"), ("ndjson", b"\n")):
            async with alice.http.get(f"{server.url}/v1/events?format={form}", headers=alice.headers) as response:
                if form == "sse":
                    await response.content.readuntil(b"\n\n")
                for _ in range(2):
                    assert await asyncio.wait_for(response.content.readexactly(len(sign)), 5) == sign


async def test_a_poll_answers_at_once_what_was_missed_else_with_the_first_news_else_in_time(alice, bob):
    lunch = await alice.opens_chat("lunch", [bob])
    cursor = (await bob.get("/v1/events")).expecting(200).json
    assert cursor["events"] == []
    path = f"/v1/events?after={cursor['cursor']}"

    began = time.monotonic()
    assert (await bob.get(path + "&wait=1")).json == cursor
    assert 0.9 < time.monotonic() - began < 3
    waiting = asyncio.create_task(bob.get(path + "&wait=30"))
    await says(alice, lunch, "one")
    first = (await asyncio.wait_for(waiting, 5)).json
    assert told(first["events"]) == ["one"]
    assert first["cursor"] == first["events"][-1]["cursor"]
    await says(alice, lunch, "two")
    assert told((await bob.get(path + "&wait=30")).json["events"]) == ["one", "two"]
    assert told((await bob.get(f"/v1/events?wait=30&after={first['cursor']}")).json["events"]) == ["two"]
    for bad in ("wait=61", "wait=-1", "wait=x", "format=xml", "wait=1&wait=2"):
        assert (await bob.get(f"/v1/events?{bad}")).code == "bad-parameters", bad


async def test_polls_bring_a_long_absence_in_portions_without_a_gap(alice, bob, sql):
    lunch = await alice.opens_chat("lunch", [bob])
    cursor = (await bob.get("/v1/sync")).json["cursor"]
    await fill(sql, lunch, alice, 2300)
    seqs, sizes = [], []
    while not sizes or sizes[-1]:
        answer = (await bob.get(f"/v1/events?after={cursor}")).json
        seqs += [one["message"]["seq"] for one in answer["events"]]
        sizes.append(len(answer["events"]))
        cursor = answer["cursor"]

    assert seqs == list(range(1, 2301))
    assert max(sizes) <= ENOUGH_EVENTS + 500


async def test_polls_in_the_middle_of_heavy_sending_lose_and_double_nothing(alice, bob, start):
    elsewhere = await start()
    lunch = await alice.opens_chat("lunch", [bob])
    async with bob.streams("poll", elsewhere, wait=5) as polls, bob.streams("ndjson", elsewhere) as lines:
        async with alice.connects() as hers:
            for _ in range(10):
                await asyncio.gather(
                    *[await hers.sends("new_message", chat_id=lunch, text=f"{number}") for number in range(100)]
                )
        for stream in (polls, lines):
            seqs = [(await stream.hears("new_message"))["message"]["seq"] for _ in range(1000)]
            assert seqs == list(range(1, 1001))


async def test_a_stream_that_is_not_read_is_given_up_and_others_do_not_feel_it(alice, bob, server):
    """Its reader comes back with the last cursor it has read: nothing is lost."""
    lunch = await alice.opens_chat("lunch", [bob])
    url = server.url + "/v1/events?format=ndjson"
    async with bob.http.get(url, headers=bob.headers, read_bufsize=1024) as unread:
        while not (streams := tuple(server.runner.app[STREAMS])):
            await asyncio.sleep(0.01)
        async with alice.connects() as hers, bob.connects() as his:
            said = 0
            while streams[0].over is None:
                text = "\N{SLICE OF PIZZA}" * 4096
                await asyncio.gather(*[await hers.sends("new_message", chat_id=lunch, text=text) for _ in range(20)])
                said += 20
                assert said < 3000, "nobody gave up"
            for _ in range(said):
                await his.hears("new_message", within=10)
        lines = b"".join([piece async for piece in unread.content.iter_any()]).split(b"\n")
    events = [json.loads(line) for line in lines if line]
    assert 0 < len(events) < said
    async with bob.streams("poll", after=events[-1]["cursor"]) as stream:
        rest = [(await stream.hears("new_message"))["message"]["seq"] for _ in range(said - len(events))]
    assert [one["message"]["seq"] for one in events] + rest == list(range(1, said + 1))


async def test_what_was_heard_before_the_end_of_a_session_is_written_before_it(alice, bob, server):
    """Also what had to wait because the reader was slow."""
    lunch = await alice.opens_chat("lunch", [bob])
    url = server.url + "/v1/events?format=ndjson"
    async with (
        bob.on_another_device() as phone,
        phone.http.get(url, headers=phone.headers, read_bufsize=1024) as unread,
    ):
        while not (streams := tuple(server.runner.app[STREAMS])):
            await asyncio.sleep(0.01)
        (stream,) = streams
        async with alice.connects() as hers:
            while not stream._live:
                await hers.asks("new_message", chat_id=lunch, text="\N{SLICE OF PIZZA}" * 4096)
            last = await hers.asks("new_message", chat_id=lunch, text="the last one")

            (await phone.signs_out()).expecting(200)
            while stream.over is None:
                await asyncio.sleep(0.01)

        lines = b"".join([piece async for piece in unread.content.iter_any()]).split(b"\n")
    told = [event["message"]["seq"] for event in map(json.loads, filter(None, lines)) if event["type"] == "new_message"]
    assert told == list(range(1, last["seq"] + 1))


@pytest.mark.parametrize("path", ["/v1/events", "/v1/ws"])
async def test_a_stream_has_no_head(alice, path):
    assert (await alice.asks("HEAD", path)).status == 405
