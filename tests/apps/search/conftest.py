"""A chat in which something was said that can be looked for, and a store for what is found."""

from collections.abc import Iterator
from typing import Any

import pytest

from proof.lab.redis import Valkey
from tests.actors import Person
from tests.apps.search.finding import indexed
from tests.apps.talk import says


@pytest.fixture
async def lunch(alice: Person, bob: Person, sql: Any) -> str:
    chat = await alice.opens_chat("lunch", [bob])
    for number in range(5):
        await says(alice, chat, f"pizza {number}")
    await indexed(sql)
    return chat


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    one = Valkey(tmp_path_factory.mktemp("valkey")).start()
    yield one
    one.kill()
