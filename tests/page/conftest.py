"""Visitors of the chat page, in a real browser: whatever it complains of while they are there fails their test."""

import os
import re
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    WebError,
    async_playwright,
)

from proof.lab.browser import MISSING, SETTING, find
from proof.lab.waiting import happens
from tests.actors import Server

HERE = Path(__file__).parent
NOWHERE = {"data", "blob", "about"}  # what has no host
TELL_VIOLATIONS = """
    addEventListener("securitypolicyviolation", (event) =>
        tellViolation(`${event.effectiveDirective} forbids ${event.blockedURI} ${event.sample}`));
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.browser)


FAILED = pytest.StashKey[bool]()
FOLDER = pytest.StashKey[Path]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and FOLDER in item.stash:
        item.stash[FAILED] = True
        report.sections.append(("browser", f"what could be seen: {item.stash[FOLDER]}"))
    return report


def find_browser() -> str:
    is_required = os.environ.get(SETTING) == "required" or os.environ.get("CI", "") not in {"", "0", "false"}
    found = find()
    if found is None:
        (pytest.fail if is_required else pytest.skip)(MISSING)
    return found


# Of a file, since playwright belongs to one loop, and each file has its own.
@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    found = find_browser()
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=found)
        yield running
        await running.close()


@dataclass
class Visitors:
    """`await visitor()`: somebody new, with a browser context of their own, at the page, which it gives when loaded."""

    browser: Browser
    server: Server
    folder: Path
    contexts: list[BrowserContext] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    async def __call__(
        self,
        fragment: str = "",
        *,
        url: str = "",
        locale: str = "en-GB",
        theme: str = "light",
        size: tuple[int, int] = (1280, 800),
        still: bool = True,
        **options: Any,
    ) -> Page:
        """`url`: of the page, if not at the test's server. `still`: reduced motion. `options`: of `new_context`."""
        url = url or f"{self.server.url}/"
        context = await self.browser.new_context(
            locale=locale,
            color_scheme=theme,
            viewport={"width": size[0], "height": size[1]},
            reduced_motion="reduce" if still else "no-preference",
            **{"timezone_id": "UTC", **options},
        )
        self.contexts.append(context)
        await self._watch(context, urlsplit(url).netloc)
        page = await context.new_page()
        await page.goto(url + fragment)
        return page

    def expect(self, pattern: str) -> None:
        """A complaint that the test brings about itself: the browser calls each refusal of a request an error."""
        self.expected.append(pattern)

    async def _watch(self, context: BrowserContext, host: str) -> None:
        def hear(message: ConsoleMessage) -> None:
            if message.type == "error":
                self.complaints.append(f"console: {message.text} ({message.location['url']})")

        def see(request: Request) -> None:
            parts = urlsplit(request.url)
            if parts.scheme not in NOWHERE and parts.netloc != host:
                self.complaints.append(f"elsewhere: {request.method} {request.url}")

        def crash(error: WebError) -> None:
            self.complaints.append(f"page: {error.error.stack or error.error.message}")

        async def ask(dialog: Dialog) -> None:
            self.complaints.append(f"dialog: {dialog.message}")
            await dialog.dismiss()

        context.on("dialog", ask)
        context.on("console", hear)
        context.on("weberror", crash)
        context.on("request", see)
        await context.expose_binding("tellViolation", lambda _, told: self.complaints.append(f"policy: {told}"))
        await context.add_init_script(TELL_VIOLATIONS)

    def unexpected(self) -> list[str]:
        return [one for one in self.complaints if not any(re.search(known, one) for known in self.expected)]

    async def leave(self, *, keeping: bool) -> None:
        """`keeping`: what could be seen."""
        for number, context in enumerate(self.contexts, 1):
            if keeping:
                self.folder.mkdir(parents=True, exist_ok=True)
                for tab, page in enumerate(context.pages, 1):
                    await page.screenshot(path=self.folder / f"{number}-{tab}.png")
                    (self.folder / f"{number}-{tab}.html").write_text(await page.content())
            await context.close()


async def comes_true(page: Page, claim: str) -> None:
    """As page.wait_for_function, which the policy of the page forbids."""
    await happens(lambda: page.evaluate(claim), claim)


@pytest.fixture
async def visitor(
    request: pytest.FixtureRequest, browser: Browser, server: Server, tmp_path: Path
) -> AsyncIterator[Visitors]:
    visitors = Visitors(browser, server, tmp_path / "browser")
    request.node.stash[FOLDER] = visitors.folder
    yield visitors
    unexpected = visitors.unexpected()
    await visitors.leave(keeping=bool(unexpected) or request.node.stash.get(FAILED, False))
    if unexpected:
        pytest.fail("The browser complained:\n" + "\n".join(unexpected), pytrace=False)
