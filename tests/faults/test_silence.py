"""A database that does not die but falls silent: a request is told so soon, sockets stay open, and it all heals."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from messenger.db.private import keeper
from proof.lab.cluster import Cluster
from proof.lab.crowd import Actor, Client, Reply, clients, new_name
from proof.lab.processes import Process, family, frozen
from proof.lab.proxy import Mood, Proxy, to_file
from proof.lab.waiting import happens

pytestmark = pytest.mark.usefixtures("impatient")

BOUND = 15.0  # for an answer at all; how soon it came is printed
WAVES = (0.0, 1.5, 3.0)  # seconds of silence before something is asked: it is noticed, and it is known already

Silence = Callable[[], AbstractContextManager[None]]


@asynccontextmanager
async def stopped(cluster: Cluster, *, with_postmaster: bool) -> AsyncIterator[tuple[Process, Silence]]:
    """PostgreSQL's processes stand still: connections stay, nothing answers. Alone, the postmaster takes new ones."""
    (here, _) = await cluster.pair()

    @contextmanager
    def silence() -> Iterator[None]:
        *children, postmaster = family(cluster.postmaster())
        with frozen([postmaster, *children] if with_postmaster else children):
            yield

    yield here, silence


@asynccontextmanager
async def unplugged(cluster: Cluster) -> AsyncIterator[tuple[Process, Silence]]:
    """Nothing passes between the server and its database, and nobody says goodbye."""
    await cluster.pair()
    proxy = await Proxy(to_file(f"{cluster.socket_folder}/{keeper.SOCKET}")).start()
    url = f"postgresql://messenger@127.0.0.1:{proxy.port}/messenger?sslmode=disable"
    here = cluster.process(DATABASE_URL=url)

    @contextmanager
    def silence() -> Iterator[None]:
        proxy.mood = Mood.SILENT
        try:
            yield
        finally:
            proxy.mood = Mood.OPEN
            proxy.cut(only_lossy=True)

    try:
        yield await here.ready(), silence
    finally:
        here.kill()
        await proxy.close()


@dataclass(frozen=True)
class Answer:
    what: str
    status: int
    seconds: float


WAYS = {
    "all its processes stand still": lambda cluster: stopped(cluster, with_postmaster=True),
    "the line is silent": unplugged,
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_silent_database_is_told_of_soon_and_everything_heals_afterwards(
    cluster: Cluster, cast: list[Actor], way: str
) -> None:
    async with WAYS[way](cluster) as (here, silence):
        refusals = await falls_silent(way, here, silence, cast)

    assert {one.status for one in refusals} == {503}, refusals


async def test_where_new_connections_are_served_it_heals_by_itself(cluster: Cluster, cast: list[Actor]) -> None:
    """The old ones stand still, perhaps in the middle of something that others wait for."""
    way = "the processes that serve stand still"
    async with stopped(cluster, with_postmaster=False) as (here, silence):
        answers = await falls_silent(way, here, silence, cast)

    assert {one.status for one in answers} <= {200, 201, 503}, answers
    assert any(one.status == 200 for one in answers), "reads wait for nobody"


async def falls_silent(way: str, here: Process, silence: Silence, cast: list[Actor]) -> list[Answer]:
    """What was answered meanwhile; that it is all well afterwards is looked after here."""
    async with clients(*cast[:2]) as (alice, bob), asyncio.timeout(120):
        chat = await alice.opens_chat(here, new_name("chat"), [bob.actor])
        said = (await alice.says(here, chat, "before"))["message_id"]
        asked = questions(chat, said)
        async with bob.socket(here) as socket:
            assert [(await socket.receive_json())["type"] for _ in range(2)] == ["hello", "ready"]
            for question in asked:
                assert (await alice.asks(here, *question)).status in {200, 201}, question

            answers: list[Answer] = []
            with silence():
                began = time.monotonic()
                waves = [asyncio.create_task(wave(alice, here, asked, seconds, answers)) for seconds in WAVES]
                frame = {"type": "new_message", "ref": "1", "chat_id": chat, "text": "in between", "client_id": "k"}
                await socket.send_json(frame)
                told = await hears(socket, "error", "ack")
                status = 201 if told["type"] == "ack" else told["error"]["status"]
                answers.append(Answer("send over the socket", status, time.monotonic() - began))
                assert status == 201 or told["error"]["retry_after"] > 0
                await asyncio.gather(*waves)
                assert (await alice.asks(here, "GET", "/healthz")).status == 200
            healing = time.monotonic()

            async def is_well() -> bool:
                return all([(await alice.asks(here, *question)).status in {200, 201} for question in asked])

            await happens(is_well, "an answer to everything afterwards")
            healed = time.monotonic() - healing
            await socket.send_json(frame)  # with its key: stored once, whatever became of the first try
            again = (await hears(socket, "ack"))["result"]
            last = await alice.says(here, chat, "after")
            while (await hears(socket, "new_message"))["message"]["message_id"] != last["message_id"]:
                pass
            pages = await bob.reads_all(here, chat)

    slowest = sorted(answers, key=lambda one: -one.seconds)[:4]
    print(f"{way}: {', '.join(f'{one.what} {one.status} after {one.seconds:.2f} s' for one in slowest)}")
    print(f"{way}: all well {healed:.2f} s afterwards")
    assert [one["message_id"] for one in pages if one["text"] == "in between"] == [again["message_id"]]
    assert [one["seq"] for one in pages] == list(range(1, len(pages) + 1))
    return answers


Question = tuple[str, str, object]


def questions(chat: str, message: str) -> list[Question]:
    """Reads of every kind, and what changes something, in a batch and by itself."""
    return [
        ("GET", "/v1/users/me", None),
        ("GET", "/v1/chats", None),
        ("GET", "/v1/sync", None),
        ("GET", f"/v1/chats/{chat}", None),
        ("GET", f"/v1/chats/{chat}/members", None),
        ("GET", f"/v1/chats/{chat}/messages?limit=10", None),
        ("GET", f"/v1/history/{chat}", None),
        ("GET", "/v1/events", None),
        ("GET", "/v1/users?query=person", None),
        ("POST", f"/v1/chats/{chat}/messages", {"text": "hello"}),
        ("POST", f"/v1/chats/{chat}/read", {"message_id": message}),
        ("PATCH", f"/v1/chats/{chat}/messages/{message}", {"text": "edited"}),
        ("PATCH", f"/v1/chats/{chat}", {"chat_name": "renamed"}),
        ("PATCH", "/v1/users/me", {"about": "tea"}),
    ]


async def wave(client: Client, here: Process, asked: list[Question], after: float, answers: list[Answer]) -> None:
    await asyncio.sleep(after)

    async def one(question: Question) -> None:
        began = time.monotonic()
        answer: Reply = await client.asks(here, *question, seconds=BOUND)
        what = f"{question[0]} {question[1].partition('?')[0]} (+{after:g})"
        answers.append(Answer(what, answer.status, time.monotonic() - began))
        if answer.status == 503:
            assert answer.json["code"] == "unavailable"
            assert int(answer.headers["Retry-After"]) >= 1

    await asyncio.gather(*(one(question) for question in asked))


async def hears(socket: Any, *kinds: str) -> dict[str, Any]:
    """The next frame of these kinds."""
    while True:
        frame = await socket.receive_json(timeout=BOUND)
        if frame["type"] in kinds:
            return dict(frame)
