"""A chat in which something was said that can be looked for."""

from typing import Any

import pytest

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
