"""The database is gone: whatever is asked, of every operation and every verb, the answer is a short 503 that can be
read, and tells nothing of the house (reliability.md AT-N1)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from messenger.app import create_app
from messenger.apps.ws.closing import DRAINING
from messenger.db.private.cluster import PrivatePostgres
from messenger.db.schema import upgrade
from messenger.web.server import make_runner
from tests.actors import Person, Server
from tests.apps.health.test_health import Elsewhere
from tests.conftest import configured
from tests.contract import CONTRACT
from tests.contracts.test_rights import OF_NOTHING, ROWS, VERBS, Operation, Stage, stage
from tests.sockets import SOON, Refused, Socket, knocks

pytestmark = pytest.mark.usefixtures("one_second")

__all__ = ["stage"]

PATIENCE = 60.0  # for some hundred answers on a busy machine
OF_ITSELF = {"docs", "metrics", "health", "client"}  # these have it from the process, and must go on doing so
BY_HEART = {"ping", "presence", "typing"}  # what a socket knows without asking
INTERNALS = (b"asyncpg", b"sqlalchemy", b"postgres", b"traceback", b"select ", b".s.pgsql", b"/tmp", b"/dev/shm")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    folder = tmp_path_factory.mktemp("elsewhere")
    with PrivatePostgres.lease(folder) as lease:  # a durable one: it is killed, and everybody comes back to it
        upgrade(lease.url)
        yield Elsewhere(lease.url, folder / "pg" / "postmaster.pid")


@pytest.fixture
async def server(elsewhere: Elsewhere, tmp_path: Path) -> AsyncIterator[Server]:
    async with Server.running(make_runner(create_app(configured(tmp_path, {}), elsewhere.url))) as running:
        yield running


def asks_the_database(operation: Operation) -> bool:
    method, path = operation
    return CONTRACT.document["paths"][path][method.lower()]["x-subapp"] not in OF_ITSELF


async def test_without_its_database_everything_is_told_to_wait_and_nothing_else(
    stage: Stage, elsewhere: Elsewhere
) -> None:
    alice, nobody = stage.people["owner"], stage.people["nobody"]
    await stage.prepares()
    asked = {
        operation: replace(row, on_another_device=False)
        for operation, row in ROWS.items()
        if asks_the_database(operation)
    }
    assert len(asked) >= 50
    token = {"refresh_token": alice.credentials["refresh_token"]}
    asked["POST", "/v1/auth/refresh"] = replace(asked["POST", "/v1/auth/refresh"], body=token)
    async with AsyncExitStack() as stack:
        socket = await stack.enter_async_context(alice.connects())
        said = {"text": "is anybody there?"}
        (await stage.erin.post(f"/v1/chats/{stage.chat}/messages", said)).expecting(201)
        await socket.hears("new_message")  # it is live
        keeper = elsewhere.kill()
        try:
            async with asyncio.timeout(PATIENCE):
                answers = await asyncio.gather(*(stage.asks(alice, *one) for one in asked.items()))
                missing = [stage.asks(alice, *one, chat_id=OF_NOTHING, group_id=OF_NOTHING) for one in asked.items()]
                answers += await asyncio.gather(*missing)
                upgrades = [await refused_upgrade(alice, path) for path in ("/v1/ws", "/chats/ws", f"/ws/{stage.chat}")]
                told = {verb: await refusal(socket, verb, **stage.frame(verb)) for verb in VERBS if verb != "resume"}
                with suppress(ConnectionError):
                    await refusal(socket, "resume", cursor=socket.ready["cursor"])
                assert await socket.closes() == DRAINING.code, "come back"
                closed = (await nobody.get("/v1/chats")).code
                alive = [(await nobody.get(path)).status for path in ("/ping", "/healthz", "/metrics", "/docs", "/")]
                facts = (await nobody.get("/client.json")).code
        finally:
            keeper.resume()

        for answer in answers:
            where = f"{answer.method} {answer.path}: {answer.status} {answer.body!r}"
            assert (answer.status, answer.code) == (503, "unavailable"), where
            assert int(answer.headers["Retry-After"]) >= 1, where
            assert not [word for word in INTERNALS if word in answer.body.lower()], where
        assert upgrades == ["unavailable"] * 3
        for verb, problem in told.items():
            assert verb in BY_HEART or problem is not None, f"{verb} was granted without a look"
            assert problem is None or (problem["code"], problem["retry_after"] > 0) == ("unavailable", True), verb
        assert closed == "auth-failed"
        assert alive == [200] * 5
        assert facts == "unavailable"

        async with asyncio.timeout(PATIENCE):
            while (await alice.get("/v1/chats")).status != 200:
                await asyncio.sleep(0.05)
        async with alice.connects(cursor=socket.cursor) as again:
            await again.hears("resumed")


async def refused_upgrade(person: Person, path: str) -> str:
    return str((await knocks(person, person.server, path, person.headers))["code"])


async def refusal(socket: Socket, verb: str, **fields: Any) -> dict[str, Any] | None:
    try:
        async with asyncio.timeout(SOON):
            await socket.asks(verb, **fields)
    except Refused as refused:
        return refused.problem
    return None
