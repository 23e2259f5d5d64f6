"""The line is lost, and the page goes on: it says so, keeps what is typed, and nothing comes twice or not at all."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from playwright.async_api import Locator, expect

from proof.lab.processes import Process
from proof.lab.proxy import Mood, Proxy, to_port
from proof.lab.waiting import happens
from tests.actors import Server
from tests.page.conftest import Visitors, comes_true
from tests.page.people import Reader

pytestmark = pytest.mark.shared

AWAY = 5.0
LATER = 60.0  # for a server that starts, and the pauses between tries
NO_SERVER = "Failed to load resource|WebSocket connection"
IS_KEPT = "navigator.serviceWorker.controller !== null"
QUIET, PATIENCE = 25, 8  # seconds: PACE of messenger.js


@pytest.fixture
async def process(dsn: str, tmp_path: Path) -> AsyncIterator[Process]:
    process = Process(tmp_path, {"DATABASE_URL": dsn})
    try:
        yield await process.start().ready()
    finally:
        process.kill()


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    proxy = await Proxy(to_port(server.port)).start()
    yield proxy
    await proxy.close()


def banner(reader: Reader) -> Locator:
    return reader.side.get_by_role("status").get_by_text(re.compile("No connection|Connecting"))


async def agree(*tabs: Reader) -> None:
    """About the chats, their last lines and numbers."""

    async def do() -> bool:
        first, *others = [await one.side.get_by_role("link").all_inner_texts() for one in tabs]
        return all(one == first for one in others)

    await happens(do, "the tabs agree")


async def test_a_killed_server_costs_no_word(visitor: Visitors, process: Process, sql: asyncpg.Connection) -> None:
    texts = [f"Word {number}" for number in range(30)]
    visitor.expect(NO_SERVER)
    ann, ben = [await Reader(await visitor(url=f"{process.url}/"), name).registers() for name in ("ann", "ben")]
    await ann.finds(ben.name)
    await ben.opens(ann.name)
    tab = Reader(await ann.page.context.new_page(), ann.name)
    await tab.page.goto(f"{process.url}/")
    await tab.opens(ben.name)
    await comes_true(ann.page, IS_KEPT)

    await ann.types("Wor")
    process.kill()
    back = asyncio.create_task(asyncio.sleep(AWAY))
    await ann.page.keyboard.type("d 0")
    await ann.page.keyboard.press("Enter")
    await expect(banner(ann)).to_be_visible()
    await ann.says(*texts[1:15])
    await ann.opens_the_page_again()
    await ann.is_at(ben.name)
    await ann.says(*texts[15:])
    await ann.sees_all(texts)
    await expect(banner(ann)).to_contain_text("30 messages wait")
    await back
    await process.start().ready()

    for one in (ann, tab, ben):
        await one.sees_all(texts, LATER)
    await expect(banner(ann)).not_to_be_visible()
    await ann.sees_the_tick(texts[-1], "read")
    await ben.opens_the_page_again()
    await ben.sees_all(texts)
    stored = await sql.fetch("select text from messages order by chat_id, seq")
    assert [row["text"] for row in stored] == texts

    for one in (ann, tab):
        await one.opens_notes()
    await ben.says("And you?")
    for one in (ann, tab):
        await expect(one.row(ben.name).get_by_label("1 unread")).to_be_visible()
        await expect(one.page).to_have_title("(1) Messenger")
    await agree(ann, tab)
    await tab.opens(ben.name)
    for one in (ann, tab):
        await expect(one.row(ben.name).get_by_label("1 unread")).not_to_be_visible()
        await expect(one.page).to_have_title("Messenger")
    await agree(ann, tab)


@pytest.mark.long  # tests/client has the short one, of messenger.js alone
async def test_a_line_that_is_silent_is_noticed(visitor: Visitors, proxy: Proxy) -> None:
    visitor.expect(NO_SERVER)
    ann, ben = [Reader(await visitor(url=url), name) for url, name in ((f"{proxy.url}/", "ann"), ("", "ben"))]
    await ann.page.clock.install()
    for one in (ann, ben):
        await one.page.reload()
        await one.registers()
    await ann.finds(ben.name)
    await ben.opens(ann.name)
    await ann.says("Do you hear me?")
    await ann.sees_the_tick("Do you hear me?", "read")
    tab = Reader(await ann.page.context.new_page(), ann.name)
    await tab.page.goto(f"{proxy.url}/")
    await tab.opens(ben.name)

    proxy.mood = Mood.SILENT
    await ben.says("I do")
    await ann.page.clock.run_for((QUIET + 1) * 1000)
    await expect(banner(ann)).not_to_be_visible()
    await ann.page.clock.run_for((PATIENCE + 1) * 1000)
    for one in (ann, tab):
        await expect(banner(one)).to_be_visible()

    proxy.mood = Mood.OPEN
    proxy.cut(only_lossy=True)
    await ann.page.clock.run_for(QUIET * 1000)
    for one in (ann, tab):
        await expect(one.message("I do")).to_be_visible(timeout=LATER * 1000)
        await expect(banner(one)).not_to_be_visible()
    await agree(ann, tab)


async def test_what_is_refused_keeps_its_words(visitor: Visitors, proxy: Proxy) -> None:
    """Said to a group that could not be read any more, and that one was taken out of meanwhile."""
    visitor.expect(NO_SERVER)
    ann = await Reader(await visitor(url=f"{proxy.url}/"), "ann").registers()
    ben = await Reader(await visitor(), "ben").registers()
    await ben.makes_a_group("Team", ann)
    await ben.opens_the_details()
    await expect(banner(ann)).to_have_count(0)
    place = await ann.row("Team").bounding_box()

    proxy.mood = Mood.SILENT
    proxy.cut()
    await expect(banner(ann)).to_be_visible()
    assert await ann.row("Team").bounding_box() == place, "nothing moves away from who is about to press it"
    await ann.opens("Team")
    await ann.says("Too late")
    await ann.sees_the_tick("Too late", "waits")
    await ben.does_with(ann, "Remove from the group")
    await ben.confirms("Remove from the group")
    proxy.mood = Mood.OPEN
    proxy.cut()

    refused = ann.chat.get_by_role("listitem").filter(has_text="Too late")
    await expect(refused).to_contain_text("There is no such chat, or you are not in it any more", timeout=LATER * 1000)
    await expect(ann.side.get_by_role("link").filter(has_text="Not sent")).to_contain_text("Too late")
    await expect(ann.button("Try again", refused)).to_be_visible()
    await ann.presses(ann.button("Delete", refused))
    await expect(refused).to_have_count(0)
    await expect(ann.side.get_by_role("link")).to_have_count(0)
