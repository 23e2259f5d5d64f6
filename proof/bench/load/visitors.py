"""The chat page in a real browser, as two people see it: how soon it is there, how soon each sees what the other does,
how soon it knows of a dead server, and how long it keeps the browser busy in a long chat.

All moments are noted by the browsers themselves, when what is to be seen has been drawn. Their clocks are one clock.
"""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

from proof.bench.load import people
from proof.bench.load.server import Server, started
from proof.bench.load.servers import Servers
from proof.lab.browser import MISSING, WHOLE, find, sign_in
from proof.lab.crowd import Actor, Client, clients, new_name, sign_up
from proof.lab.waiting import PATIENCE
from proof.lab.walk import long_tasks, walk, watch_tasks

VISITS, ACTS, DEATHS = 20, 40, 6
LONG = 10_000
STEADY, AWAY = 11.0, 5.0  # seconds: a line that held for ten begins with short pauses between its tries
NOTES = """
    window.now = () => performance.timeOrigin + performance.now();
    for (const act of ["keydown", "click"]) addEventListener(act, () => { window.actedAt = now(); }, true);
    window.saying = (words) => [...document.querySelectorAll(".message")]
        .find((one) => one.querySelector(".words")?.textContent === words);
    window.drawn = (isSo) => new Promise((tell) => {
        const watcher = new MutationObserver(() => {
            if (!isSo()) return;
            watcher.disconnect();
            requestAnimationFrame(() => setTimeout(() => tell(now())));
        });
        watcher.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
    });
    window.useful = drawn(() => document.querySelector("#name, .message"));
"""
FIRST_PAINT = """
    () => new Promise((tell) => new PerformanceObserver((list) => {
        for (const paint of list.getEntriesByName("first-contentful-paint")) tell(paint.startTime);
    }).observe({ type: "paint", buffered: true }))
"""
Waits = dict[str, list[float]]  # milliseconds


@dataclass
class Visitor:
    page: Page

    async def watches(self, claim: str) -> None:
        await self.page.evaluate(f"() => {{ window.seen = drawn(() => {claim}); }}")

    async def noted(self, moment: str) -> float:
        async with asyncio.timeout(PATIENCE):
            at: float = await self.page.evaluate(f"() => window.{moment}")
        return at

    async def opens(self, chat: str) -> None:
        await self.page.locator(f"[data-chat='{chat}']").click()
        await expect(self.page.locator(f"[data-chat='{chat}'][aria-current]")).to_be_visible()
        await expect(self.page.locator("#composer")).to_be_visible()

    async def says(self, words: str) -> None:
        await self.page.locator("#composer").focus()
        await self.page.keyboard.insert_text(words)
        await self.page.keyboard.press("Enter")

    async def takes_back_and_says(self, words: str) -> None:
        """Edits the last one."""
        await self.page.locator("#composer").focus()
        await self.page.keyboard.press("ArrowUp")
        await expect(self.page.locator(".about")).to_be_visible()
        await self.page.keyboard.press("Control+a")
        await self.says(words)

    async def opens_the_menu_of_the_last(self) -> None:
        await self.page.locator(".message:has(.words) .bubble").last.click(button="right")

    async def reacts_to_the_last(self) -> None:
        await self.opens_the_menu_of_the_last()
        await self.page.locator(".menu-reactions button").first.click()

    async def deletes_the_last(self) -> None:
        await self.opens_the_menu_of_the_last()
        await self.page.locator(".menu-item.danger").click()
        await self.page.locator("dialog .danger").click()


async def visit(servers: Servers) -> dict[str, Any]:
    path = find(WHOLE) or find()
    if path is None:
        sys.exit(MISSING)
    server = await servers.named("product")
    ann, ben, cleo = await sign_up(server.process, [new_name(name) for name in ("ann", "ben", "cleo")])
    async with clients(ann) as [client]:
        direct, long = [await opened_chat(client, server, one) for one in (ben, cleo)]
        group = await client.opens_chat(server.process, "Team", [ben, cleo])
    length = servers.sized(LONG)
    await fill(server, long, cleo, length)
    waits: Waits = defaultdict(list)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path)
        await first_visits(browser, server.process.url, servers.sized(VISITS), waits)
        one, other = [await enter(browser, server.process.url, actor) for actor in (ann, ben)]
        for who in (one, other):
            await who.opens(direct)
        await talk(one, other, servers.sized(ACTS), waits)
        await reloads(one, servers.sized(VISITS), waits)
        for who in (one, other):
            await who.opens(group)
        await talk_in_the_group(one, other, servers.sized(ACTS), waits)
        await deaths(one, server, servers.sized(DEATHS), waits)
        await one.opens(long)
        walked = await walk_through(one, length)
        version = browser.version
        await browser.close()
    return {"browser": version, "waits": dict(waits), "walk": walked}


async def opened_chat(client: Client, server: Server, other: Actor) -> str:
    return str((await client.post(server.process, f"/v1/users/{other.user_id}/chat"))["chat_id"])


async def fill(server: Server, chat: str, sender: Actor, length: int) -> None:
    """The server begins anew, since this was written behind its back."""
    past = [people.Person(int(sender.user_id), sender.session_id)]
    await people.reminisce(server.cluster, int(chat), past, length)
    server.process.kill()
    await started(server.process, server.cores)


async def come(browser: Browser, url: str) -> Visitor:
    context = await browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    await context.add_init_script(NOTES)
    page = await context.new_page()
    await page.goto(f"{url}/")
    return Visitor(page)


async def enter(browser: Browser, url: str, actor: Actor) -> Visitor:
    visitor = await come(browser, url)
    await sign_in(visitor.page, actor.name)
    return visitor


async def note_arrival(visitor: Visitor, which: str, useful: str, waits: Waits) -> None:
    waits[f"{which}: first contentful paint"].append(await visitor.page.evaluate(FIRST_PAINT))
    began = await visitor.page.evaluate("performance.timeOrigin")
    waits[f"{which}: {useful}"].append(await visitor.noted("useful") - began)


async def first_visits(browser: Browser, url: str, times: int, waits: Waits) -> None:
    for _ in range(times):
        visitor = await come(browser, url)
        await note_arrival(visitor, "first visit", "the form to sign in", waits)
        await visitor.page.context.close()


async def reloads(visitor: Visitor, times: int, waits: Waits) -> None:
    for _ in range(times):
        await visitor.page.reload()
        await note_arrival(visitor, "warm reload", "the messages", waits)


async def note(waits: Waits, what: str, act: Awaitable[None], actor: Visitor, watcher: Visitor, claim: str) -> None:
    """From the last key or click of the act until the watcher has it before his eyes."""
    await watcher.watches(claim)
    await act
    waits[what].append(await watcher.noted("seen") - await actor.noted("actedAt"))


async def talk(one: Visitor, other: Visitor, times: int, waits: Waits) -> None:
    for number in range(times):
        words, better = f"number {number}", f"number {number}, better said"
        is_there = f"saying('{words}')"
        await note(waits, "direct chat: seen by the other", one.says(words), one, other, is_there)
        ticked = f"saying('{words} read')?.querySelector('.tick.all')"
        await note(waits, "direct chat: ✓✓ when the other reads", one.says(f"{words} read"), one, one, ticked)
        await note(waits, "edit: seen by the other", one.takes_back_and_says(better), one, other, f"saying('{better}')")
        reacted = f"saying('{better}')?.querySelector('.reaction')"
        await note(waits, "reaction: seen by the other", other.reacts_to_the_last(), other, one, reacted)
        await note(waits, "delete: seen by the other", one.deletes_the_last(), one, other, f"!saying('{better}')")


async def talk_in_the_group(one: Visitor, other: Visitor, times: int, waits: Waits) -> None:
    for number in range(times):
        words = f"all of you, number {number}"
        await note(waits, "group: seen by the other", one.says(words), one, other, f"saying('{words}')")


async def deaths(visitor: Visitor, server: Server, times: int, waits: Waits) -> None:
    for _ in range(times):
        await asyncio.sleep(STEADY)
        await visitor.watches("document.querySelector('.line-word')")
        killed_at = time.time() * 1000
        server.process.kill()
        waits["kill -9: the banner"].append(await visitor.noted("seen") - killed_at)
        await asyncio.sleep(AWAY)
        await visitor.watches("document.querySelector('.line[data-phase=online]')")
        await started(server.process, server.cores)
        back_at = time.time() * 1000
        waits["back: online again"].append(max(0.0, await visitor.noted("seen") - back_at))


async def walk_through(visitor: Visitor, length: int) -> dict[str, Any]:
    await expect(visitor.page.locator(".divider")).to_be_visible()
    await watch_tasks(visitor.page)
    ways = [await walk(visitor.page, 1, length), await walk(visitor.page, -1, 1)]
    assert all(way["isThere"] for way in ways), "the walk ended before the chat did"
    return {
        "messages": length,
        "tasks": await long_tasks(visitor.page),
        "rows": max(way["most"] for way in ways),
        "moved": max(way["moved"] for way in ways),
    }
