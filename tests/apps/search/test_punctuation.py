"""Signs that were asked for count, by every way of looking; where no sign is asked for, none counts."""

from typing import Any

import pytest

from messenger.apps.search.store import searching
from tests.actors import Person
from tests.apps.search.finding import begins, ends, fetches, finds, marks
from tests.apps.talk import says

pytestmark = pytest.mark.shared

SAID = (
    "we sold 1000 of them",
    "I am 100% sure",
    "written in C",
    "written in C++ language",
    "ask john@example.com for #1234",
    "ask John, example or com",
    "ready? Go! (maybe)",
    "ready to go maybe",
    "Скидка 50% на посылки!",
    "скидки 50 на посылку",
    "price: $1,500.00",
    "price 1500",
    "what's up",
    "salt & pepper",
    "salt pepper",
    "path\\to\\file_name 5'10",
    "path to filename",
)
FINDS: dict[str, list[int]] = {
    "100%": [1],
    "100": [0, 1],
    "00%": [],  # parts of words are looked for by three letters at least
    "000": [0],
    '"100% sure"': [1],
    '"am 100%"': [1],
    '"100 sure"': [],
    "100% -sure": [],
    "C++": [3],
    "written C++": [3],
    '"in C++"': [3],
    '"in C"': [2, 3],
    "written -C++": [2],
    "C": [2, 3],
    "c++ or 100%": [1, 3],
    "written or 100%": [1, 2, 3],
    "john@example.com": [4],
    "example.co": [4],
    "john@": [4],
    "john": [4, 5],
    "john,": [5],
    "#1234": [4],
    "#123": [4],
    "#234": [],
    "ready?": [6],
    "(maybe)": [6],
    "ready": [6, 7],
    "(maybe": [6],
    "50%": [8],
    "скидка 50%": [8],  # the other word in any form
    "скидка посылка": [8, 9],
    "посылки!": [8],
    "посылка!": [],
    "$1,500.00": [10],
    "1,500": [10],
    "1500": [11],
    "what's": [12],
    "salt & pepper": [13, 14],  # alone it counts in quotes only
    '"salt & pepper"': [13],
    'salt "&" pepper': [13],
    '"salt pepper"': [14],
    "to\\file": [15],
    "path\\": [15],
    "file_name": [15],
    "file%": [],
    "5'10": [15],
    "filename": [16],
}
MARKS = {
    "100%": [["100%"]],
    '"am 100%"': [["am 100%"]],
    "c++": [["C++"]],
    "example.co": [["example.co"]],
    "#1234": [["#1234"]],
    "скидка 50%": [["Скидка", "50%"]],
    "скидки": [["скидки"], ["Скидка"]],
    '"salt & pepper"': [["salt & pepper"]],
    "$1,500.00": [["$1,500.00"]],
}


@pytest.fixture
async def lunch(alice: Person) -> str:
    chat = await alice.opens_chat("lunch")
    for text in SAID:
        await says(alice, chat, text)
    return chat


@pytest.mark.parametrize("often", [0, 10_000], ids=["taken for common", "taken for rare"])
@pytest.mark.parametrize("order", ["rank", "recent"])
async def test_signs_count_where_they_are_asked_for(alice, lunch, order: str, often: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(searching, "OFTEN", often)

    found = {q: sorted(SAID.index(text) for text in await finds(alice, q, order=order)) for q in FINDS}

    assert found == FINDS


async def test_signs_count_in_the_background_as_well(alice, lunch) -> None:
    for q in (one for one in FINDS if len(one) >= 4):
        task = await begins(alice, q)
        assert await ends(alice, task) == "SUCCESS"
        assert sorted(SAID.index(text) for text in await fetches(alice, task)) == FINDS[q], q


async def test_signs_are_highlighted_with_their_words(alice, lunch) -> None:
    assert {q: await marks(alice, q) for q in MARKS} == MARKS
