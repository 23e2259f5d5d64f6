"""GET /v1/search: what each person finds, in which order; and what is typed can never go wrong."""

import asyncio
from typing import Any

import pytest

from messenger.apps.search.store import searching
from tests.actors import Person
from tests.apps.search.finding import finds, indexed, marks, search
from tests.apps.talk import fill, says

pytestmark = pytest.mark.shared

SAID = (
    "Отправили посылку вчера",
    "Ёлка уже стоит",
    "The children were running home",
    "see foo.png and Report_2024-final.docx",
    "exactly these words",
    "these words exactly",
    "Встречаемся на Красной площади",
    "discount of 50% on a_b",
    "\N{SLICE OF PIZZA} Pizza\ntonight?",
)
FINDS: dict[str, list[int]] = {
    "отправить": [0],
    "ПОСЫЛКА": [0],
    "елка": [1],
    "ЁЛКА": [1],
    "child run": [2],
    "children running": [2],
    "runs home": [2],
    "foo": [3],
    "foo.png": [3],
    "png": [3],
    "report": [3],
    "2024": [3],
    "final.doc": [3],
    "2024-fin": [3],
    '"these words"': [4, 5],
    '"exactly these words"': [4],
    '"words these"': [],
    "exactly words": [4, 5],
    "exactly -words": [],
    "exactly -these": [4, 5],
    "площад": [6],
    "расной": [6],
    "pizza tonight": [8],
    '"pizza tonight"': [8],
    "izza": [8],
    "50%": [7],
    "a_b": [7],
    "aXb": [],
    "pizza or елка": [1, 8],
    "посылка -вчера": [],
    "посылка -завтра": [0],
    "nothing like that": [],
    # Words that say nothing by themselves, in either language; and nothing at all.
    "the": [],
    "и на уже": [],
    "и the": [],
    "-pizza": [],
    "the -pizza": [],
    "\N{SLICE OF PIZZA}": [],
}
STRANGE = ["a & | (", ":*", "<->", "!!", "'", '"', '"""', "\\", "\\'", "a:*", "!a", "(a", "a)", "%", "_", "-", "--"]
STRANGE += ["or", "or or or", "- -", '-"', '"-', "a <-> b", "a'b", "\ufeff", "\u202e", "\U0010ffff", "$1", ":limit"]
STRANGE += ["x" * 256, "a " * 128, '"a" ' * 64, "-a " * 85, "aa or " * 42, "*" * 256, "ё" * 256]
STRANGE += ["\N{COMBINING ACUTE ACCENT}" * 256, "a'); drop table users; --", "100%s $1 %L {a}", "'{\"a,b\\", "\\' || '"]


@pytest.fixture
async def lunch(alice: Person, bob: Person, sql: Any) -> str:
    chat = await alice.opens_chat("lunch", [bob])
    for text in SAID:
        await says(alice, chat, text)
    await indexed(sql)
    return chat


async def test_words_are_found_in_their_forms_in_parts_and_to_the_letter(alice, lunch) -> None:
    found = {q: sorted(SAID.index(text) for text in await finds(alice, q)) for q in FINDS}

    assert found == FINDS


async def test_hits_are_messages_as_everywhere_and_say_where_the_words_stand(alice, bob, lunch, sql) -> None:
    await says(bob, lunch, "pizza, pizza", client_id="mine")
    await indexed(sql)

    for person in (alice, bob):
        page = (await person.get(f"/v1/chats/{lunch}/messages?limit=100")).json["messages"]
        hits = (await search(person, "pizza", order="recent"))["hits"]
        assert [hit["message"] for hit in hits] == [page[-1], page[-2]]
    assert hits[0]["highlights"] == [[0, 5], [7, 12]]
    assert hits[1]["highlights"] == [[2, 7]]  # code points: the slice of pizza before it is one
    assert await marks(alice, "отправить") == [["Отправили"]]
    assert await marks(alice, "foo png") == [["foo", "png"]]
    assert await marks(alice, '"these words"') == [["these words"], ["these words"]]


@pytest.mark.parametrize("q", STRANGE)
async def test_whatever_is_typed_is_understood_in_some_way(alice, q: str) -> None:
    for order in ("rank", "recent"):
        assert (await search(alice, q, order=order))["has_more"] is False


async def test_what_cannot_be_looked_for_is_refused_by_name(alice, lunch) -> None:
    wrong = {
        "": "q",
        "limit=5": "q",
        "q=": "q",
        "q=%20%09%C2%A0": "q",
        "q=" + "x" * 257: "q",
        "q=" + "слово%20" * 100: "q",
        "q=%00": "q",
        "q=a%00b": "q",
        "q=%ED%A0%80": "q",
        "q=a&q=b": "q",
        "q=a&order=best": "order",
        "q=a&limit=101": "limit",
        "q=a&limit=0": "limit",
        "q=a&chat_id=x": "chat_id",
        "q=a&sender_id=0": "sender_id",
        "q=a&since=yesterday": "since",
        "q=a&since=2026-11-21": "since",
        "q=a&since=9999-12-31T23:59:59-23:59": "since",
        "q=a&until=0001-01-01T00:00:00%2B23:59": "until",
        "q=a&until=2026-11-21T09:30:00": "until",
    }
    for query, pointer in wrong.items():
        problem = (await alice.get(f"/v1/search?{query}")).expecting(400).json
        assert (problem["code"], problem["errors"][0]["pointer"]) == ("bad-parameters", pointer), query
    assert (await alice.get(f"/v1/search?q={'x' * 50_000}")).code == "uri-too-long"
    for cursor in ("x", "0.5", "~1", "0.1~", "0.1~0", "nan~1", "1e999~1", f"0.0~{2**53}", "0.0~1 "):
        answer = await alice.get("/v1/search", params={"q": "a", "from": cursor})
        assert (answer.status, answer.code) == (400, "bad-cursor"), cursor
    for chat in ("999999", await alice.opens_chat("other")):
        expected = 404 if chat == "999999" else 200
        assert (await alice.get(f"/v1/search?q=pizza&chat_id={chat}")).status == expected


async def test_what_is_looked_for_can_be_narrowed(alice, bob, sql) -> None:
    lunch, tea = await alice.opens_chat("lunch", [bob]), await alice.opens_chat("tea", [bob])
    first = await says(alice, lunch, "pizza one")
    second = await says(bob, tea, "pizza two")
    await indexed(sql)
    age = "update search_documents set sent_at = '2020-01-01' where message_id = $1"
    await sql.execute(age, int(first["message_id"]))

    assert sorted(await finds(alice, "pizza")) == ["pizza one", "pizza two"]
    assert await finds(alice, "pizza", chat_id=lunch) == ["pizza one"]
    assert await finds(alice, "pizza", sender_id=bob.user_id) == ["pizza two"]
    assert await finds(alice, "pizza", sender_id="999999") == []
    assert await finds(alice, "pizza", until="2020-01-01T00:00:00.001Z") == ["pizza one"]
    assert await finds(alice, "pizza", since="2020-01-01T03:00:00+03:00", until="2021-01-01T00:00:00Z") == ["pizza one"]
    assert await finds(alice, "pizza", since=second["sent_at"]) == ["pizza two"]
    assert await finds(alice, "pizza", since="9999-12-31T23:59:59.999999Z") == []


@pytest.mark.parametrize("often", [0, 10_000], ids=["taken for common", "taken for rare"])
@pytest.mark.parametrize("order", ["rank", "recent"])
async def test_pages_hold_every_hit_once(alice, sql, order: str, often: int, monkeypatch) -> None:
    monkeypatch.setattr(searching, "OFTEN", often)
    lunch = await alice.opens_chat("lunch")
    await fill(sql, lunch, alice, 47)
    await says(alice, lunch, "filled filled filled")
    await indexed(sql)

    pages, start = [], {}
    while True:
        page = await search(alice, "filled", order=order, limit=10, **start)
        pages.append([hit["message"]["message_id"] for hit in page["hits"]])
        if not page["has_more"]:
            break
        start = {"from": page["next"]["iterator"]}

    assert [len(page) for page in pages] == [10, 10, 10, 10, 8]
    assert page["next"] == {"iterator": None}
    ids = [int(message_id) for page in pages for message_id in page]
    assert len(set(ids)) == 48
    if order == "recent":
        assert ids == sorted(ids, reverse=True)
    assert ids[0] == max(ids)


async def test_what_was_edited_or_deleted_is_found_as_it_is_now(alice, bob, lunch, sql) -> None:
    path = f"/v1/chats/{lunch}/messages"
    changed, gone = await says(alice, lunch, "tomatoes"), await says(alice, lunch, "cucumbers")
    await indexed(sql)

    (await alice.asks("PATCH", f"{path}/{changed['message_id']}", {"text": "potatoes"})).expecting(200)
    (await alice.asks("DELETE", f"{path}/{gone['message_id']}")).expecting(204)

    assert await finds(bob, "cucumbers") == []  # at once, whatever the index knows
    await indexed(sql)
    assert (await finds(bob, "tomatoes"), await finds(bob, "potatoes")) == ([], ["potatoes"])
    assert await sql.fetchval("select count(*) from search_documents where text like '%cucumber%'") == 0


async def test_only_those_in_a_chat_find_what_was_said_there(alice, bob, mallory, lunch, sql) -> None:
    async def finders() -> list[str]:
        return [one.name for one in (alice, bob, mallory) if await finds(one, "pizza")]

    assert await finders() == ["alice", "bob"]
    assert (await mallory.get(f"/v1/search?q=pizza&chat_id={lunch}")).expecting(404).code == "chat-not-found"
    (await alice.removes(lunch, bob)).expecting(204)
    assert await finders() == ["alice"]
    (await alice.invites(lunch, mallory)).expecting(201)
    assert await finders() == ["alice", "mallory"]
    (await mallory.leaves(lunch)).expecting(204)
    (await alice.deletes(lunch)).expecting(204)
    assert await finders() == []


@pytest.mark.alone
async def test_everybody_searches_everything_where_nobody_signs_in(alice, lunch, start) -> None:
    rig = await start(AUTH_DISABLED="true")

    async with Person.stranger(rig) as somebody:
        assert await finds(somebody, "pizza") == [SAID[8]]


async def test_what_was_said_on_one_process_is_found_on_another(alice, bob, start, sql) -> None:
    others = [await start() for _ in range(2)]
    lunch = await alice.opens_chat("lunch", [bob])
    await asyncio.gather(*(says(bob, lunch, f"needle{number:03}") for number in range(50)))
    await indexed(sql)

    for number in range(50):
        found = await search(bob, f"needle{number:03}", others[number % 2])
        assert [hit["message"]["text"] for hit in found["hits"]] == [f"needle{number:03}"]
