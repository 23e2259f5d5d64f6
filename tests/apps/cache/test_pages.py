"""Pages that are kept: read once, fresh after every change from anywhere, and nobody's but their reader's."""

from collections.abc import Callable

import pytest

from messenger.apps.messages.history import HISTORY
from messenger.apps.messages.store import MESSAGES
from tests.actors import Person, Server
from tests.apps.talk import says

pytestmark = pytest.mark.shared


@pytest.fixture
def settings():
    return {"WIRE": "none", "THROTTLE_DEFAULT": "100000/1s"}


@pytest.fixture
async def elsewhere(start, settings):
    """Another process on the same database."""
    return await start(**settings)


@pytest.fixture
async def lunch(alice, bob):
    chat = await alice.opens_chat("lunch", [bob])
    for number in range(5):
        await says((alice, bob)[number % 2], chat, f"{number}", client_id=f"k{number}")
    return chat


def page(chat: str) -> str:
    return f"/v1/chats/{chat}/messages?limit=50"


@pytest.fixture
def listened(monkeypatch) -> Callable[[Server], list[str]]:
    """Every statement about messages that a process sends from now on."""

    def listen(server: Server) -> list[str]:
        lines, asked = server.runner.app[HISTORY]._lines, []
        ask = lines.rows

        async def rows(statement: str, *arguments):
            asked.append(statement)
            return await ask(statement, *arguments)

        monkeypatch.setattr(lines, "rows", rows)
        return asked

    return listen


@pytest.mark.parametrize(
    "query",
    [
        "limit=50",
        "anchor=newest&limit=3",
        "anchor=newest&num_before=3",
        "anchor=oldest&limit=3",
        "anchor=first_unread&limit=3",
        "anchor={}&num_before=1&num_after=1",
        "anchor=9007199254740991&limit=3",
        "around={}&limit=3&read_cursors=false",
    ],
)
async def test_a_second_read_of_a_page_asks_the_database_nothing_about_messages(
    server, alice, bob, lunch, listened, query
):
    """One in the middle of a chat is kept at its second read."""
    message = (await alice.get(page(lunch))).json["messages"][2]["message_id"]
    path = f"/v1/chats/{lunch}/messages?{query.format(message)}"
    asked = listened(server)
    reads = 2 if any(middle in query for middle in ("{}", "900", "unread")) else 1
    first = [(await who.get(path)).json for who in (alice, bob) for _ in range(reads)][::reads]
    assert asked or query == "limit=50"  # read above already
    asked.clear()

    again = [(await who.get(path)).json for who in (alice, bob) for _ in range(20)]

    assert again == [first[0]] * 20 + [first[1]] * 20
    assert asked == []


async def test_a_kept_newest_page_moves_on_and_an_unread_one_is_the_readers_own(alice, bob, lunch, elsewhere):
    newest, unread = (
        f"/v1/chats/{lunch}/messages?anchor={anchor}&num_before=1" for anchor in ("newest", "first_unread")
    )
    for number in range(6, 9):
        for path in (newest, unread):
            await bob.get(path)
        answer = await alice.post(f"/v1/chats/{lunch}/messages", {"text": f"{number}"}, server=elsewhere)
        said = answer.expecting(201).json

        assert [one["seq"] for one in (await bob.get(newest)).json["messages"]] == [said["seq"]] == [number]
        assert [one["seq"] for one in (await bob.get(unread)).json["messages"]] == [4, 5]
        assert [one["seq"] for one in (await alice.get(unread)).json["messages"]] == [number]


async def test_whatever_changes_a_page_from_another_process_is_in_the_next_read(alice, bob, lunch, elsewhere):
    path = f"/v1/chats/{lunch}/messages"
    last = (await alice.get(page(lunch))).json["messages"][-1]["message_id"]

    async def changes(who: Person, method: str, what: str, body=None, *, shown) -> None:
        before = (await alice.get(page(lunch))).json
        assert (await who.asks(method, what, body, server=elsewhere)).status < 300
        after = (await alice.get(page(lunch))).json
        assert before != after and shown(after), what
        older = (await alice.get(f"/v1/history/{lunch}")).json  # kept before, like the other page
        assert older == after["messages"], what

    def of_last(field):
        return lambda found: next(one for one in found["messages"] if one["message_id"] == last)[field]

    await changes(bob, "POST", path, {"text": "new"}, shown=lambda found: found["messages"][-1]["text"] == "new")
    await changes(alice, "PATCH", f"{path}/{last}", {"text": "edited"}, shown=lambda f: of_last("text")(f) == "edited")
    await changes(bob, "PUT", f"{path}/{last}/reactions/!", shown=of_last("reactions"))
    await changes(bob, "DELETE", f"{path}/{last}/reactions/!", shown=lambda f: of_last("reactions")(f) == [])
    newest = (await alice.get(page(lunch))).json["messages"][-1]["message_id"]
    await changes(
        alice, "POST", f"/v1/chats/{lunch}/read", {"message_id": newest}, shown=lambda f: f["messages"][-1]["is_read"]
    )
    await changes(alice, "DELETE", f"{path}/{last}", shown=of_last("deleted"))
    names = lambda found: {one["sender_name"] for one in found["messages"]}  # noqa: E731
    await changes(bob, "PATCH", "/v1/users/me", {"user_name": "robert"}, shown=lambda f: "robert" in names(f))
    await changes(bob, "POST", f"/v1/chats/{lunch}/users", {"user_name": "bobby"}, shown=lambda f: "bobby" in names(f))
    await changes(
        bob, "DELETE", f"/v1/chats/{lunch}/members/{bob.user_id}", shown=lambda f: len(f["read_cursors"]) == 1
    )


PAGES = {"/v1/chats/{}/messages?limit=50": 404, "/v1/history/{}": 404, "/chats/{}/messages": 404, "/history/{}": 403}


@pytest.mark.parametrize(("path", "refused"), PAGES.items())
async def test_who_is_removed_elsewhere_gets_no_page_any_more_kept_or_not(
    alice, bob, mallory, lunch, elsewhere, path, refused
):
    path = path.format(lunch)
    seen = (await alice.get(path)).expecting(200).headers["ETag"]
    his = {"If-None-Match": (await bob.get(path)).expecting(200).headers["ETag"]}
    assert [(await mallory.get(path, headers=one)).status for one in ({}, {"If-None-Match": seen})] == [refused] * 2

    await alice.asks("DELETE", f"/v1/chats/{lunch}/members/{bob.user_id}", server=elsewhere)

    assert [(await bob.get(path, headers=one)).status for one in ({}, his)] == [refused] * 2
    assert (await mallory.get(path)).status == refused
    assert (await alice.get(path)).status == 200


async def test_the_keys_of_ones_own_messages_are_in_nobody_elses_page(alice, bob, lunch):
    for _ in range(2):
        hers, his = [(await who.get(page(lunch))).json["messages"] for who in (alice, bob)]
        assert [one.get("client_id") for one in hers] == ["k0", None, "k2", None, "k4"]
        assert [one.get("client_id") for one in his] == [None, "k1", None, "k3", None]


async def test_a_session_that_ends_elsewhere_opens_nothing_here(alice, bob, lunch, elsewhere):
    for _ in range(3):
        assert (await bob.get(page(lunch))).status == 200

    assert (await bob.asks("POST", "/v1/auth/logout", server=elsewhere)).status == 200

    assert (await bob.get(page(lunch))).code == "session-revoked"
    assert (await alice.get(page(lunch))).status == 200


async def test_without_the_cache_every_page_is_read_and_looks_the_same(alice, lunch, start, listened):
    bare = await start(APPS="health,auth,chats,messages")
    kept = (await alice.get(page(lunch))).body

    asked = listened(bare)
    for _ in range(3):
        asked.clear()
        assert (await alice.asks("GET", page(lunch), server=bare)).body == kept
        assert MESSAGES in asked
