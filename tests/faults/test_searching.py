"""kill -9 of the process that writes the index or works on a search: nothing is missing, nothing stands still."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from proof.lab.cluster import Cluster
from proof.lab.crowd import Client, clients, new_name, sign_up
from proof.lab.processes import AWAY, Process
from proof.lab.waiting import happens, running
from tests.apps.search.finding import indexed, is_true
from tests.sizes import sized

KILLS = sized(10, least=3)
FOLLOWED_WITHIN = 10.0  # bound of the test; the figure is printed
DELAY = "2"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("searching"))
    yield cluster
    cluster.close()


@pytest.fixture
def searching(place: Cluster) -> Iterator[Cluster]:
    """A cluster where nobody else takes up a search."""
    yield place
    for process in place.processes:
        process.kill()


@pytest.fixture
async def first(searching: Cluster) -> Process:
    return await searching.process(SEARCH_DELAY=DELAY).ready()


@pytest.fixture
async def reader(first: Process) -> AsyncIterator[Client]:
    async with clients(*await sign_up(first, [new_name("reader")])) as (one,):
        yield one


@pytest.fixture
async def rows(searching: Cluster, first: Process) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(searching.dsn)
    yield connection
    connection.terminate()


async def test_after_kills_of_the_indexing_process_nothing_is_missing(
    searching: Cluster,
    first: Process,
    reader: Client,
    rows: asyncpg.Connection,
    capsys: pytest.CaptureFixture[str],
) -> None:
    second = await searching.process().ready()
    chat = await reader.opens_chat(first, new_name("chat"))
    path, said = f"/v1/chats/{chat}/messages", 0

    async def keep_saying(number: int) -> None:
        nonlocal said
        for turn in range(10**6):
            text = f"needle{number}x{turn} in the hay"
            for process in (first, second):
                try:
                    said += (await reader.asks(process, "POST", path, {"text": text}, seconds=2)).status == 201
                except AWAY:
                    continue

    async with running(*(keep_saying(number) for number in range(8))):
        for number in range(KILLS):
            before = said

            async def is_under_way(before: int = before) -> bool:
                return said > before + 50

            await happens(is_under_way, "messages are said")
            killed = (first, second)[number % 2]
            killed.kill()
            killed.start()
            await killed.ready()
    for process in (first, second):  # what was cut off in the air is stored before this, or never
        await reader.says(process, chat, "the last needle")
    took = await indexed(rows, FOLLOWED_WITHIN)

    assert said > 50 * KILLS
    assert await is_true(rows)
    with capsys.disabled():
        print(f"\n{said} acknowledged over {KILLS} kills, the index was at the head after {took:.2f} s", end="")


async def test_what_was_acknowledged_is_found_at_once_by_another_process(
    searching: Cluster, first: Process, reader: Client
) -> None:
    second = await searching.process().ready()
    chat = await reader.opens_chat(first, new_name("chat"))

    for number in range(50):
        said, asked = (first, second) if number % 2 else (second, first)
        await reader.says(said, chat, f"haystack{number}needle")
        found = await reader.get(asked, f"/v1/search?q=haystack{number}needle&limit=1")
        assert (len(found["hits"]), found["complete"]) == (1, True)


async def test_a_search_whose_worker_was_killed_is_finished_by_another(
    searching: Cluster, first: Process, reader: Client, rows: asyncpg.Connection
) -> None:
    # Its longer delay keeps it from taking up what waits, so the first is the one that works.
    second = await searching.process(SEARCH_DELAY=str(4 * int(DELAY))).ready()
    chat = await reader.opens_chat(first, new_name("chat"))
    await reader.says(first, chat, "pizza")
    await indexed(rows)
    task = (await reader.post(first, "/v1/chats/search", {"message": "pizza"}))["task_id"]

    async def status(process: Process, wanted: str) -> bool:
        return bool((await reader.get(process, f"/v1/chats/search/status/{task}"))["status"] == wanted)

    await happens(lambda: status(first, "IN_PROCESS"), "the first works on it")
    first.kill()
    await happens(lambda: status(second, "SUCCESS"), "it is finished by the second")

    assert await rows.fetchval("select attempts from search_tasks where id = $1", int(task)) == 2
    page = await reader.get(second, f"/v1/chats/search/{task}/messages?limit=10")
    assert [hit["text"] for hit in page["messages"]] == ["pizza"]


@pytest.mark.usefixtures("impatient")
async def test_a_crash_of_the_database_leaves_no_search_standing_and_no_wrong_answer(
    searching: Cluster, first: Process, reader: Client, rows: asyncpg.Connection
) -> None:
    chat = await reader.opens_chat(first, new_name("chat"))
    await reader.says(first, chat, "pizza")
    await indexed(rows)
    done = (await reader.post(first, "/v1/chats/search", {"message": "pizza"}))["task_id"]

    async def is_over(task: str) -> bool:
        try:
            answer = await reader.asks(first, "GET", f"/v1/chats/search/status/{task}", seconds=2)
        except AWAY:
            return False
        return answer.status == 200 and answer.json["status"] in {"SUCCESS", "FAILED"}

    await happens(lambda: is_over(done), "the first search is over")
    waiting = (await reader.post(first, "/v1/chats/search", {"message": "pizza"}))["task_id"]

    searching.kill_postgres()

    await happens(lambda: is_over(waiting), "the second search is over", 60)
    for task in (done, waiting):
        answer = await reader.get(first, f"/v1/chats/search/{task}/messages?limit=10")
        status = (await reader.get(first, f"/v1/chats/search/status/{task}"))["status"]
        texts = [hit["text"] for hit in answer["messages"]]
        assert (status, texts) in [("SUCCESS", ["pizza"]), ("FAILED", [])], task
