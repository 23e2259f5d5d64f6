"""A copy of the database that lives on elsewhere is another log from there on; a cursor knows which."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from proof.lab.crowd import Client, Follower, clients, new_name, sign_up
from proof.lab.postgres import Postgres
from proof.lab.processes import Process
from proof.lab.waiting import running

WAYS = ("socket", "sse", "poll")


@dataclass
class Town:
    """An original with a server, and what is made of it."""

    folder: Path
    original: Postgres
    databases: list[Postgres]
    processes: list[Process]

    def serve(self, database: Postgres) -> Process:
        process = Process(self.folder, {"DATABASE_URL": database.dsn, "MIGRATE_ON_START": "true"}).start()
        self.processes.append(process)
        return process

    async def promoted_copy(self) -> Postgres:
        copy = self.original.copied("copy")
        self.databases.append(copy)
        await copy.start().ready()
        copy.promote()
        return copy


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    original = Postgres.made(tmp_path)
    town = Town(tmp_path, original, [original], [])
    try:
        await original.start().ready()
        yield town
    finally:
        for process in town.processes:
            process.kill()
        for database in town.databases:
            database.kill()


def follower(client: Client, way: str, cursor: str, process: Process, last: str) -> Follower:
    return Follower(client, way, cursor, lambda: process, lambda event: text(event) == last)


def text(event: dict[str, object]) -> object:
    message = event.get("message")
    return message["text"] if isinstance(message, dict) else None


async def test_a_promoted_copy_resumes_what_both_share_and_refuses_what_only_the_original_said(town: Town) -> None:
    here = await town.serve(town.original).ready()
    async with clients(*await sign_up(here, [new_name("alice")])) as (alice,), asyncio.timeout(60):
        chat = await alice.opens_chat(here, new_name("chat"))
        within = await alice.cursor(here)
        await alice.says(here, chat, "common")
        shared = await alice.cursor(here)
        copy = await town.promoted_copy()
        for number in range(5):
            await alice.says(here, chat, f"only the original {number}")
        beyond = await alice.cursor(here)

        there = await town.serve(copy).ready()
        for number in range(9):  # more than the original: the old cursor is not beyond the head
            await alice.says(there, chat, f"only the copy {number}")
        new = await alice.cursor(there)

        assert len({cursor.partition(".")[0] for cursor in (within, shared, beyond)}) == 1
        assert new.partition(".")[0] != beyond.partition(".")[0], "a new epoch began with the first write"
        of_the_copy = [f"only the copy {number}" for number in range(9)]
        for way in WAYS:
            for cursor, expected in ((within, ["common", *of_the_copy]), (shared, of_the_copy)):
                one = follower(alice, way, cursor, there, of_the_copy[-1])
                await one.follow()
                assert [text(event) for event in one.heard] == expected, f"{way} resumes exactly"
            assert await first_word(alice, way, beyond, there) == "resync"
            assert await first_word(alice, way, new, here) == "resync", "the original knows nothing of the copy"
            one = follower(alice, way, shared, here, "only the original 4")
            await one.follow()
            assert [text(event) for event in one.heard] == [f"only the original {number}" for number in range(5)]
        assert [one["text"] for one in await alice.reads_all(there, chat)] == ["common", *of_the_copy]


async def first_word(client: Client, way: str, cursor: str, process: Process) -> str:
    one = Follower(client, way, cursor, lambda: process, lambda event: True)
    await one.follow()
    return str(one.heard[0]["type"])


@pytest.mark.parametrize("lag", [2, 12], ids=["the copy overtakes", "the copy stays behind"])
async def test_listeners_of_a_living_server_are_told_when_a_copy_takes_the_databases_place(
    town: Town, lag: int
) -> None:
    """A failover to a standby that had not received the end: nobody goes on as if that end were still true."""
    here = await town.serve(town.original).ready()
    async with (
        clients(*await sign_up(here, [new_name("alice")])) as (alice,),
        asyncio.timeout(60),
        AsyncExitStack() as stack,
    ):
        chat = await alice.opens_chat(here, new_name("chat"))
        start = await alice.cursor(here)
        await alice.says(here, chat, "common")
        listeners = [follower(alice, way, start, here, "the end") for way in WAYS]
        following = await stack.enter_async_context(running(*(one.follow() for one in listeners)))
        copy = await town.promoted_copy()
        for number in range(lag):
            await alice.says(here, chat, f"lost {number}")
        while any(text(one.heard[-1]) != f"lost {lag - 1}" for one in listeners):
            await asyncio.sleep(0.01)

        town.original.kill()
        copy.kill()
        await copy.start(town.original.door).ready()
        said = []
        for number in range(6):
            words = f"new {number}"
            while (
                answer := await alice.asks(
                    here, "POST", f"/v1/chats/{chat}/messages", {"text": words, "client_id": words}
                )
            ).status == 503:
                await asyncio.sleep(0.01)
            assert answer.status in {200, 201}, answer
            said.append((int(answer.json["message_id"]), words))
        while any("resync" not in [event["type"] for event in one.heard] for one in listeners):
            await asyncio.sleep(0.01)
        end = await alice.says(here, chat, "the end")
        said.append((int(end["message_id"]), "the end"))
        await asyncio.gather(*following)
        stored = await alice.reads_all(here, chat)

    assert [one["text"] for one in stored] == ["common", *(words for _, words in said)]
    for one in listeners:
        kinds = [event["type"] for event in one.heard]
        told = kinds.index("resync")
        assert [text(event) for event in one.heard[:told]] == ["common", *(f"lost {number}" for number in range(lag))]
        place = int(one.heard[told]["cursor"].partition(".")[2])
        later = [text(event) for event in one.heard[told:] if event["type"] == "new_message"]
        assert later == [words for position, words in said if position > place], f"{one.way} misses nothing after it"
