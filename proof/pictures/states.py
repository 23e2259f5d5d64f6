"""The states of the page, and the clicks that lead to each. They go by what is on the page in any language."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from playwright.async_api import Page, expect

from proof.pictures.scene import Scene

Lead = Callable[[Page, Scene], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class State:
    name: str
    lead: Lead
    is_signed_in: bool = True


async def _nothing(_page: Page, _scene: Scene) -> None: ...


async def _refused(page: Page, _scene: Scene) -> None:
    await page.fill("#name", "x")
    await page.keyboard.press("Enter")
    await expect(page.locator(".says.error").first).to_be_visible()


async def _register(page: Page, _scene: Scene) -> None:
    await page.locator(".card > .button.link").click()


async def house(page: Page, scene: Scene) -> None:
    await page.locator(f"[data-chat='{scene.house}']").click()
    await expect(page.locator(".message").last).to_be_visible()


async def direct(page: Page, scene: Scene) -> None:
    await page.locator(f"[data-chat='{scene.direct}']").click()
    await expect(page.locator(".divider, .message").last).to_be_visible()


async def _details(page: Page, scene: Scene) -> None:
    await house(page, scene)
    await page.locator(".chat-title").click()
    await expect(page.locator(".member").first).to_be_visible()


async def _menu(page: Page, scene: Scene) -> None:
    await house(page, scene)
    await page.locator(".message.mine .bubble").last.click(button="right")
    await expect(page.locator(".menu")).to_be_visible()


async def _emoji(page: Page, scene: Scene) -> None:
    await house(page, scene)
    await page.locator(".composer-row > .button").first.click()
    await expect(page.locator(".emoji-grid").first).to_be_visible()


async def _reply(page: Page, scene: Scene) -> None:
    await _menu(page, scene)
    await page.locator(".menu-item").first.click()
    await page.locator("#composer").fill("The draft of an answer that goes over more than one line of a narrow page")
    await expect(page.locator(".about")).to_be_visible()


async def _calling(page: Page, scene: Scene) -> None:
    await house(page, scene)
    await page.locator("#composer").fill("@")
    await expect(page.locator(".calling li").first).to_be_visible()


async def _readers(page: Page, scene: Scene) -> None:
    await house(page, scene)
    await page.locator(".message.mine .tick").last.click()
    await expect(page.locator(".dialog .member").first).to_be_visible()


async def _found(page: Page, _scene: Scene) -> None:
    await page.fill("#search", "boat")
    await expect(page.locator(".hit mark").first).to_be_visible()


async def _filters(page: Page, scene: Scene) -> None:
    await _found(page, scene)
    await page.locator(".results-head .button").click()
    await expect(page.locator(".filters")).to_be_visible()


async def _nothing_found(page: Page, _scene: Scene) -> None:
    await page.fill("#search", "zzzzz")
    await expect(page.locator(".results .empty")).to_be_visible()


async def _new_chat(page: Page, scene: Scene) -> None:
    await page.locator(".sidebar > .bar > .button").last.click()
    await page.locator(".person", has_text=scene.people[1].name).click()
    await expect(page.locator(".chip")).to_be_visible()


def _from_menu(number: int, sign: str) -> Lead:
    async def lead(page: Page, _scene: Scene) -> None:
        await page.locator(".sidebar > .bar > .button").first.click()
        await page.locator(".menu-item").nth(number).click()
        await expect(page.locator(sign).first).to_be_visible()

    return lead


async def _account_menu(page: Page, _scene: Scene) -> None:
    await page.locator(".sidebar > .bar > .button").first.click()
    await expect(page.locator(".menu")).to_be_visible()


async def _switcher(page: Page, _scene: Scene) -> None:
    await page.keyboard.press("Control+k")
    await expect(page.locator(".switcher-list li").first).to_be_visible()


async def _confirm(page: Page, scene: Scene) -> None:
    await _menu(page, scene)
    await page.locator(".menu-item.danger").click()
    await expect(page.locator("dialog .danger")).to_be_visible()


async def _waiting(page: Page, scene: Scene) -> None:
    """The line is cut while one writes."""
    await house(page, scene)
    await page.context.set_offline(True)
    await page.route_web_socket("**/v1/ws*", lambda socket: None)
    await page.reload()
    await expect(page.locator(".message").last).to_be_visible()
    await page.locator("#composer").fill("This one is on its way.")
    await page.keyboard.press("Enter")
    await expect(page.locator(".message.waiting")).to_be_visible()


STATES = (
    State("sign-in", _nothing, is_signed_in=False),
    State("refused", _refused, is_signed_in=False),
    State("register", _register, is_signed_in=False),
    State("list", _nothing),
    State("group", house),
    State("unread", direct),
    State("details", _details),
    State("message-menu", _menu),
    State("reply", _reply),
    State("calling", _calling),
    State("emoji", _emoji),
    State("readers", _readers),
    State("confirm", _confirm),
    State("found", _found),
    State("filters", _filters),
    State("nothing-found", _nothing_found),
    State("new-chat", _new_chat),
    State("account-menu", _account_menu),
    State("profile", _from_menu(0, "dialog #my-name")),
    State("devices", _from_menu(1, "dialog .device")),
    State("settings", _from_menu(2, "dialog .radios")),
    State("keys", _from_menu(3, "dialog kbd")),
    State("switcher", _switcher),
    State("waiting", _waiting),
)
