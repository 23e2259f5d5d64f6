"""Somebody at the page: sees what is on it and works it by names, with clicks and keys only."""

import re
from collections.abc import Sequence
from typing import Self

from playwright.async_api import Locator, Page, expect

from tests.actors import PASSWORD

# On a busy machine; how soon people see each other's doings is measured, not asserted.
WITHIN = 10_000
expect.set_options(timeout=WITHIN)
MANY = 60  # more stops than there are on a page


class Reader:
    """Works by the pointer, and types."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.name = name
        page.set_default_timeout(WITHIN)

    # --- hands

    async def presses(self, what: Locator) -> None:
        await what.click()

    async def ticks(self, what: Locator) -> None:
        await what.click()

    async def goes_into(self, field: Locator) -> None:
        await field.click()

    async def chooses_in(self, field: Locator, option: str) -> None:
        await field.select_option(label=option)

    async def writes_into(self, field: Locator, words: str) -> None:
        """Instead of what is there."""
        await self.goes_into(field)
        await self.page.keyboard.press("Control+a")
        await self.page.keyboard.press("Delete")
        await self.page.keyboard.insert_text(words)

    async def asks_what_can_be_done_with(self, message: Locator) -> None:
        await message.hover()
        await message.get_by_role("button", name="Actions").click()

    # --- parts of the page

    @property
    def side(self) -> Locator:
        return self.page.get_by_role("navigation", name="Chats")

    @property
    def chat(self) -> Locator:
        return self.page.get_by_role("main")

    @property
    def details(self) -> Locator:
        return self.page.get_by_role("complementary", name="Details")

    @property
    def composer(self) -> Locator:
        return self.page.get_by_label("Message", exact=True)

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    @property
    def search(self) -> Locator:
        return self.side.get_by_role("searchbox", name="Search")

    def button(self, name: str, within: Locator | None = None) -> Locator:
        return (within or self.page).get_by_role("button", name=name, exact=True)

    def row(self, name: str) -> Locator:
        """Of the list of chats, or of what was found."""
        return self.side.get_by_role("link").filter(has=self.page.get_by_text(name, exact=True))

    def message(self, text: str) -> Locator:
        words = self.page.locator(".words").filter(has_text=re.compile(rf"^{re.escape(text)}$"))
        return self.page.locator(".message").filter(has=words)

    def member(self, name: str) -> Locator:
        return self.details.get_by_role("listitem").filter(has=self.page.locator(".member-name", has_text=name))

    # --- coming

    async def registers(self) -> Self:
        await expect(self.page.get_by_role("heading", level=1)).to_be_visible()
        if await self.page.get_by_role("heading", name="Sign in").count():
            await self.presses(self.button("Make an account"))
        await self.writes_into(self.page.get_by_label("Your name"), self.name)
        await self.writes_into(self.page.get_by_label("Password", exact=True), PASSWORD)
        await self.presses(self.button("Create account"))
        return await self.is_in()

    async def signs_in(self) -> Self:
        await self.writes_into(self.page.get_by_label("Name or e-mail"), self.name)
        await self.writes_into(self.page.get_by_label("Password", exact=True), PASSWORD)
        await self.presses(self.button("Sign in"))
        return await self.is_in()

    async def is_in(self) -> Self:
        await expect(self.search).to_be_visible()
        return self

    async def opens_the_page_again(self) -> None:
        await self.page.reload()
        await self.is_in()

    # --- chats

    async def finds(self, name: str) -> None:
        """Somebody to talk to."""
        await self.writes_into(self.search, name)
        await self.presses(self.button(name, self.side))
        await self.is_at(name)

    async def opens(self, name: str) -> None:
        await self.presses(self.row(name))
        await self.is_at(name)

    async def is_at(self, name: str) -> None:
        await expect(self.page.get_by_role("main", name=name, exact=True)).to_be_visible()

    async def opens_notes(self) -> None:
        await self.writes_into(self.search, self.name)
        await self.presses(self.button(self.name, self.side))
        await self.is_at("My notes")

    async def makes_a_group(self, name: str, *people: "Reader") -> None:
        await self.presses(self.button("New chat"))
        for one in people:
            await self.writes_into(self.dialog.get_by_label("Find people by name"), one.name)
            await self.ticks(self.dialog.get_by_role("checkbox", name=one.name))
        await self.writes_into(self.dialog.get_by_label("Group name"), name)
        await self.presses(self.button("Create group", self.dialog))
        await self.is_at(name)

    async def opens_the_details(self) -> None:
        if not await self.details.count():
            await self.presses(self.chat.locator("header").get_by_role("button", name="Details", exact=True))
        await expect(self.details).to_be_visible()

    async def confirms(self, deed: str) -> None:
        await self.presses(self.button(deed, self.dialog))
        await expect(self.dialog).not_to_be_visible()

    async def does_with(self, member: "Reader", deed: str) -> None:
        """An item of the menu of a member."""
        await self.presses(self.button(f"Actions for {member.name}", self.details))
        await self.takes(deed)

    async def takes(self, item: str) -> None:
        """Of the menu that is open."""
        menu = self.page.get_by_role("menu")
        found = menu.get_by_role("menuitem", name=item, exact=True)
        await self.presses(found.or_(menu.get_by_role("menuitemradio", name=item, exact=True)))

    async def opens_from_the_menu(self, item: str) -> None:
        await self.presses(self.button("Menu", self.side))
        await self.takes(item)
        await expect(self.dialog).to_be_visible()

    # --- talking

    async def types(self, words: str) -> None:
        """Without sending it."""
        await self.goes_into(self.composer)
        await self.page.keyboard.type(words)

    async def says(self, *texts: str) -> None:
        await self.goes_into(self.composer)
        for text in texts:
            await self.page.keyboard.type(text)
            await self.page.keyboard.press("Enter")

    async def pastes(self, *texts: str, sending: bool = True) -> None:
        await self.goes_into(self.composer)
        for text in texts:
            await self.page.keyboard.insert_text(text)
            if sending:
                await self.page.keyboard.press("Enter")

    async def calls_herself(self, name: str, *, about: str = "") -> None:
        await self.opens_from_the_menu("My profile")
        await self.writes_into(self.dialog.get_by_label("Name", exact=True), name)
        await self.writes_into(self.dialog.get_by_label("About me"), about)
        await self.confirms("Save")

    async def renames_the_group(self, name: str) -> None:
        await self.presses(self.button("Rename", self.details))
        await self.writes_into(self.dialog.get_by_label("Group name"), name)
        await self.confirms("Save")

    async def sees(self, text: str) -> None:
        await expect(self.message(text)).to_be_visible()

    async def sees_in_the_list(self, name: str, last: str) -> None:
        await expect(self.row(name)).to_contain_text(last)

    async def sees_typing(self) -> None:
        await expect(self.chat.locator("header").get_by_text("is typing…")).to_be_visible()

    async def sees_the_tick(self, text: str, fate: str) -> None:
        await expect(self.message(text).locator(".tick")).to_have_text(fate)

    async def sees_the_word(self, words: str) -> None:
        """Anywhere."""
        await expect(self.page.get_by_text(words, exact=True)).to_be_visible()

    async def sees_all(self, texts: Sequence[str], seconds: float = WITHIN / 1000) -> None:
        """These messages, in this order, and no others."""
        await expect(self.page.locator(".message .words")).to_have_text(list(texts), timeout=seconds * 1000)

    async def edits_the_last(self, words: str) -> None:
        await self.goes_into(self.composer)
        await self.page.keyboard.press("ArrowUp")
        await expect(self.page.get_by_text("Editing a message")).to_be_visible()
        await self.writes_into(self.composer, words)
        await self.page.keyboard.press("Enter")

    async def edits(self, text: str, words: str) -> None:
        await self.asks_what_can_be_done_with(self.message(text))
        await self.takes("Edit")
        await self.writes_into(self.composer, words)
        await self.presses(self.button("Save the change"))

    async def deletes(self, text: str) -> None:
        await self.asks_what_can_be_done_with(self.message(text))
        await self.takes("Delete")
        await self.confirms("Delete")

    async def reacts(self, text: str, emoji: str) -> None:
        await self.asks_what_can_be_done_with(self.message(text))
        await self.takes(f"React with {emoji}")

    async def sees_the_reaction(self, text: str, emoji: str) -> None:
        await expect(self.button(f"{emoji} by 1 person", self.message(text))).to_be_visible()

    async def replies(self, text: str, words: str) -> None:
        await self.asks_what_can_be_done_with(self.message(text))
        await self.takes("Reply")
        await self.page.keyboard.type(words)
        await self.page.keyboard.press("Enter")

    async def jumps_to_what_is_quoted(self, text: str, quoted: str) -> None:
        await self.presses(self.message(text).get_by_role("link").filter(has_text=quoted))
        await self.is_on(quoted)

    async def is_on(self, text: str) -> None:
        await expect(self.message(text)).to_be_focused()
        await expect(self.message(text)).to_be_in_viewport()

    async def asks_who_has_read(self, text: str) -> None:
        await self.asks_what_can_be_done_with(self.message(text))
        await self.takes("Who has read it")

    async def closes_the_dialog(self) -> None:
        await self.page.keyboard.press("Escape")
        await expect(self.dialog).not_to_be_visible()

    async def searches_here(self, words: str) -> None:
        await self.presses(self.button("Search in this chat"))
        await self.writes_into(self.search, words)

    async def follows_the_hit(self, text: str) -> None:
        await self.presses(self.side.get_by_role("link").filter(has_text=text))
        await self.is_on(text)


class Typist(Reader):
    """Has no pointer: all is reached by Tab, arrows, and the keys that the page explains."""

    async def presses(self, what: Locator) -> None:
        await self._reaches(what)
        await self.page.keyboard.press("Enter")

    async def ticks(self, what: Locator) -> None:
        await self._reaches(what)
        await self.page.keyboard.press("Space")

    async def goes_into(self, field: Locator) -> None:
        await self._reaches(field)

    async def chooses_in(self, field: Locator, option: str) -> None:
        await self._reaches(field)
        await self.page.keyboard.type(option)

    async def asks_what_can_be_done_with(self, message: Locator) -> None:
        await self.goes_to(message)
        await self.page.keyboard.press("Enter")

    async def edits(self, text: str, words: str) -> None:
        await self.goes_to(self.message(text))
        await self.page.keyboard.press("e")
        await self.writes_into(self.composer, words)
        await self.page.keyboard.press("Enter")

    async def deletes(self, text: str) -> None:
        await self.goes_to(self.message(text))
        await self.page.keyboard.press("Delete")
        await self.confirms("Delete")

    async def reacts(self, text: str, emoji: str) -> None:
        await self.goes_to(self.message(text))
        await self.page.keyboard.press("+")
        await self.presses(self.dialog.get_by_role("button", name=emoji).first)

    async def replies(self, text: str, words: str) -> None:
        await self.goes_to(self.message(text))
        await self.page.keyboard.press("r")
        await expect(self.composer).to_be_focused()
        await self.page.keyboard.type(words)
        await self.page.keyboard.press("Enter")

    async def jumps_to_what_is_quoted(self, text: str, quoted: str) -> None:
        await self.goes_to(self.message(text))
        await self.page.keyboard.press("q")
        await self.is_on(quoted)

    async def _reaches(self, what: Locator) -> None:
        """A menu is walked by arrows, all else by Tab."""
        await expect(what).to_be_visible()
        key = "ArrowDown" if await self.page.get_by_role("menu").count() else "Tab"
        await self._presses_until(what, key)

    async def goes_to(self, message: Locator) -> None:
        await expect(message).to_be_visible()
        await self._presses_until(self.page.locator(".message"), "F6")
        await self._presses_until(message, "ArrowUp")

    async def _presses_until(self, what: Locator, key: str) -> None:
        focused = what.and_(self.page.locator(":focus"))
        for _ in range(MANY):
            if await focused.count():
                return
            await self.page.keyboard.press(key)
        raise AssertionError(f"{key} does not lead to {what}")
