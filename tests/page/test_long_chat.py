"""A chat too long for the page: it opens where one stopped reading, and the text before one's eyes never moves."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from playwright.async_api import Page, Route, expect

from proof.lab.waiting import happens
from proof.lab.walk import long_tasks, walk, watch_tasks
from tests.actors import Person, Server
from tests.apps.talk import fill, says
from tests.page.conftest import Visitors, comes_true
from tests.page.people import Reader
from tests.people import present

pytestmark = pytest.mark.shared

MOST_ROWS = 300
ROWS = "document.querySelectorAll('.message-list > li').length"


class Told:
    """How alice's chat with bob is filled: so much she has read, so much she has not."""

    def __init__(self, alice: Person, bob: Person, chat: str, sql: asyncpg.Connection) -> None:
        self.alice, self.bob, self.chat, self.sql = alice, bob, chat, sql

    async def fills(self, read: int, unread: int) -> None:
        await fill(self.sql, self.chat, self.bob, read - 1)
        last = await says(self.bob, self.chat, "the last one that was read")
        path = f"/v1/chats/{self.chat}/read"
        (await self.alice.post(path, {"message_id": last["message_id"]})).expecting(200)
        await fill(self.sql, self.chat, self.bob, unread)


@pytest.fixture
async def told(server: Server, sql: asyncpg.Connection):  # noqa: ANN201
    async with present(server, "alice") as alice, present(server, "bob") as bob:
        chat = (await alice.post(f"/v1/users/{bob.user_id}/chat")).expecting(201).json["chat_id"]
        yield Told(alice, bob, chat, sql)


async def at_the_chat(visitor: Visitors, requests: list[str] | None = None) -> Page:
    page = await visitor()
    alice = Reader(page, "alice")
    await alice.signs_in()
    if requests is not None:
        page.on("request", lambda request: requests.append(request.url))
    await alice.opens("bob")
    await expect(page.locator(".divider")).to_be_visible()
    return page


def reads(url: str) -> bool:
    return "/v1/" in url


async def test_it_opens_at_the_first_unread_by_one_request(visitor: Visitors, told: Told) -> None:
    await told.fills(read=200, unread=500)
    requests: list[str] = []

    page = await at_the_chat(visitor, requests)

    assert len(list(filter(reads, requests))) == 1, requests
    before = page.locator(".message").filter(has_text="the last one that was read")
    await expect(before).to_be_in_viewport()
    below = await page.evaluate("document.querySelector('.divider').getBoundingClientRect().top")
    assert below < 400, "what is unread fills the view"
    await expect(page.get_by_role("button", name="unread messages")).to_be_visible()


async def test_the_way_to_both_ends_moves_nothing(visitor: Visitors, told: Told) -> None:
    await told.fills(read=200, unread=500)
    page = await at_the_chat(visitor)

    up = await walk(page, -1, 1)
    down = await walk(page, 1, 700)

    for way in (up, down):
        assert way["isThere"]
        assert way["moved"] == 0
        assert way["most"] <= MOST_ROWS


async def test_a_message_keeps_the_focus_while_rows_come_and_go(visitor: Visitors, told: Told) -> None:
    await told.fills(read=200, unread=500)
    page = await at_the_chat(visitor)
    rows = page.locator(".message[data-seq]")
    message = page.locator(".message").filter(has_text="the last one that was read")
    await message.focus()
    seq = await rows.first.get_attribute("data-seq")

    await page.evaluate("document.querySelector('.messages').scrollTop = 500")

    await expect(rows.first).not_to_have_attribute("data-seq", seq or "")
    await expect(message).to_be_focused()


async def test_who_waits_at_the_edge_for_an_older_page_is_not_moved_by_it(visitor: Visitors, told: Told) -> None:
    """The line of the day above the first message goes when there is an earlier one, and nearly nothing is above it."""
    await told.fills(read=300, unread=5)
    page = await at_the_chat(visitor)
    released = asyncio.Event()

    async def later(route: Route) -> None:
        await released.wait()
        await route.continue_()

    await page.route("**/messages?before=*", later)
    rows = page.locator(".message[data-seq]")
    await page.evaluate("document.querySelector('.messages').scrollTop = 0")
    await comes_true(page, "document.querySelector('.wheel') !== null")
    await page.evaluate("document.querySelector('.messages').scrollTop = 4")
    seq = await rows.first.get_attribute("data-seq")
    top = (await rows.first.bounding_box() or {})["y"]

    released.set()

    await expect(rows.first).not_to_have_attribute("data-seq", seq or "")
    assert (await page.locator(f".message[data-seq='{seq}']").bounding_box() or {})["y"] == top


async def test_what_others_do_meanwhile_moves_nothing(visitor: Visitors, told: Told) -> None:
    await told.fills(read=300, unread=10)
    page = await at_the_chat(visitor)
    await walk(page, -1, 250)
    place: Callable[[], Any] = lambda: page.evaluate(  # noqa: E731
        """() => [...document.querySelectorAll(".message[data-seq]")]
            .map((row) => [Number(row.dataset.seq), row.getBoundingClientRect().top]).find(([, top]) => top > 60)"""
    )
    seq, top = await place()
    above = (await told.bob.get(f"/v1/chats/{told.chat}/messages?from={seq - 10}&limit=1")).expecting(200).json
    message_id = above["messages"][0]["message_id"]

    path = f"/v1/chats/{told.chat}/messages/{message_id}"
    (await told.bob.asks("PATCH", path, {"text": "much longer than before, " * 40})).expecting(200)
    (await told.bob.asks("PUT", f"{path}/reactions/%F0%9F%91%8D")).expecting(204)
    for number in range(3):
        await says(told.bob, told.chat, f"new {number}")

    await expect(page.get_by_role("navigation").get_by_text("new 2")).to_be_visible()
    await comes_true(page, "document.querySelector('.reaction') !== null")
    assert await place() == [seq, top]


async def test_a_scroll_that_is_told_after_the_chat_was_left_is_nothing(visitor: Visitors, told: Told) -> None:
    await told.fills(read=50, unread=1)
    page = await at_the_chat(visitor)
    left = await page.locator(".messages").element_handle()

    await page.evaluate("location.hash = ''")
    await expect(page.locator(".messages")).to_have_count(0)

    await left.evaluate("(box) => { box.dispatchEvent(new Event('scroll')); }")
    await page.evaluate("new Promise(requestAnimationFrame)")


async def test_who_is_at_the_end_stays_there(visitor: Visitors, told: Told) -> None:
    await told.fills(read=50, unread=1)
    page = await at_the_chat(visitor)

    for number in range(30):
        await says(told.bob, told.chat, f"new {number}")

    await expect(page.locator(".message").filter(has_text="new 29")).to_be_in_viewport()
    await comes_true(page, f"{ROWS} <= {MOST_ROWS}")

    async def is_read() -> bool:
        chat = (await told.alice.get(f"/v1/chats/{told.chat}")).expecting(200).json
        return chat["unread"] == 0

    await happens(is_read, "what was seen is read")


@pytest.mark.long
async def test_ten_thousand_messages(visitor: Visitors, told: Told) -> None:
    await told.fills(read=5_000, unread=5_000)
    page = await at_the_chat(visitor)
    await watch_tasks(page)

    ways = [await walk(page, 1, 10_000), await walk(page, -1, 1)]

    print("tasks over 50 ms:", [round(task) for task in await long_tasks(page)])
    for way in ways:
        assert way["isThere"]
        assert way["moved"] == 0
        assert way["most"] <= MOST_ROWS
