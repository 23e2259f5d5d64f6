"""Nothing of the page bars anybody: axe finds no fault in any state, and nothing is wider than a narrow screen."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from proof.lab.browser import sign_in
from proof.pictures.scene import Scene, build
from proof.pictures.states import STATES, State
from tests.actors import Server
from tests.page.conftest import Visitors

RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]},
    "resultTypes": ["violations"],
}
DESK, PHONE, NARROW = (1280, 800), (390, 844), (320, 640)


RIGHT_END = """
    Math.max(...[document.documentElement, ...document.querySelectorAll(".sidebar, .chat, .messages, .info, .menu")]
        .map((box) => box.getBoundingClientRect().left + Math.max(box.scrollWidth, box.clientWidth)))
"""


@dataclass(frozen=True, slots=True)
class Look:
    theme: str
    locale: str
    size: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.theme} {self.locale} {self.size[0]}"


LOOKS = [Look(*one) for one in product(("light", "dark"), ("en-GB", "ru-RU"), (DESK, PHONE, NARROW))]
# Each state in one of four looks, which have all themes, languages and sizes; at night all states in all looks.
SEEN = (LOOKS[0], LOOKS[5], LOOKS[7], LOOKS[9])
SHORT = [(look, STATES[number :: len(SEEN)]) for number, look in enumerate(SEEN)]
WHOLE = [(look, STATES) for look in LOOKS]


@pytest.fixture
async def scene(server: Server) -> Scene:
    return await build(server)


async def faults(page: Page) -> list[str]:
    found: Any = await Axe().run(page, options=RULES)
    return [
        f"{fault['id']}: {fault['help']}: {node['html'][:200]}"
        for fault in found.response["violations"]
        for node in fault["nodes"]
    ]


async def lead(page: Page, url: str, state: State, scene: Scene, *, is_signed_in: bool) -> None:
    await page.goto("about:blank")
    await page.goto(f"{url}/")
    if state.is_signed_in and not is_signed_in:
        await sign_in(page, scene.me.name)
    elif state.is_signed_in:
        await expect(page.locator(".chat-row").first).to_be_visible()
    await state.lead(page, scene)


@pytest.mark.parametrize(
    "visits", [SHORT, pytest.param(WHOLE, marks=[pytest.mark.long, pytest.mark.timeout(1200)])], ids=["short", "whole"]
)
async def test_no_state_has_a_fault_or_is_wider_than_its_screen(
    visitor: Visitors, server: Server, scene: Scene, visits: list[tuple[Look, tuple[State, ...]]]
) -> None:
    visitor.expect("ERR_INTERNET_DISCONNECTED")  # of the state without a line
    found = {}
    for look, states in visits:
        page = await visitor(theme=look.theme, locale=look.locale, size=look.size)
        is_signed_in = False
        for state in sorted(states, key=lambda one: (one.is_signed_in, one.name == "waiting")):
            await lead(page, server.url, state, scene, is_signed_in=is_signed_in)
            is_signed_in = is_signed_in or state.is_signed_in
            if some := await faults(page):
                found[f"{state.name}, {look}"] = some
            if (width := await page.evaluate(RIGHT_END)) > look.size[0]:
                found[f"{state.name}, {look}: width"] = [f"{width} px"]
        await page.context.close()

    assert found == {}
