"""A walk through a chat that is too long for the page, and what it took."""

from typing import Any

from playwright.async_api import Page

# Goes on by a part of the view at a time, as a wheel does, and remembers how far the text was moved by anything else.
WALK = """
    async ([direction, last]) => {
        const box = document.querySelector(".messages");
        const top = box.getBoundingClientRect().top;
        const rows = () => [...box.querySelectorAll(".message[data-seq]")];
        const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
        let moved = 0, most = 0, still = 0;
        while (still < 500 && !rows().some((row) => Number(row.dataset.seq) === last)) {
            const row = rows().find((one) => one.getBoundingClientRect().bottom > top + 200);
            const before = box.scrollTop;
            box.scrollTop += direction * 400;
            still = box.scrollTop === before ? still + 1 : 0;
            const there = row.getBoundingClientRect().top;
            await frame();
            await frame();
            most = Math.max(most, document.querySelectorAll(".message-list > li").length);
            const same = box.querySelector(`.message[data-id="${row.dataset.id}"]`);
            if (same) moved = Math.max(moved, Math.abs(same.getBoundingClientRect().top - there));
        }
        return { moved, most, isThere: still < 500 };
    }
"""
LISTEN = """
    () => {
        window.tasks = [];
        new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((one) => one.duration)))
            .observe({ type: "longtask" });
    }
"""


async def walk(page: Page, direction: int, last: int) -> dict[str, Any]:
    """Until the message of this number is on the page: how far text was moved, how many rows there were at most."""
    found: dict[str, Any] = await page.evaluate(WALK, [direction, last])
    return found


async def watch_tasks(page: Page) -> None:
    await page.evaluate(LISTEN)


async def long_tasks(page: Page) -> list[float]:
    """Milliseconds of each since then; the browser tells of those over 50."""
    found: list[float] = await page.evaluate("window.tasks")
    return sorted(found)
