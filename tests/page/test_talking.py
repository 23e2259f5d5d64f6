"""People talk at the page, each with a browser of their own, and see of each other what they should."""

from collections.abc import Awaitable, Callable
from itertools import count

import pytest
from playwright.async_api import expect

from tests.page.conftest import Visitors
from tests.page.people import Reader, Typist

pytestmark = pytest.mark.shared

NUMBERS = count(1)


def named(name: str) -> str:
    """Nobody's yet, though all tests of this file share a server."""
    return f"{name}{next(NUMBERS)}"


Newcomer = Callable[..., Awaitable[Reader]]


@pytest.fixture
def newcomer(visitor: Visitors) -> Newcomer:
    async def newcomer(name: str, kind: type[Reader] = Reader) -> Reader:
        return await kind(await visitor(), named(name)).registers()

    return newcomer


@pytest.mark.parametrize("kind", [Reader, Typist], ids=["by pointer", "by keys alone"])
async def test_the_first_conversation(newcomer: Newcomer, visitor: Visitors, kind: type[Reader]) -> None:
    ann, ben = await newcomer("ann", kind), await newcomer("ben", kind)

    await ann.finds(ben.name)
    await ann.says("Hi Ben")
    await ann.sees_the_tick("Hi Ben", "sent")
    await ben.sees_in_the_list(ann.name, "Hi Ben")
    await ben.opens(ann.name)
    await ben.sees("Hi Ben")
    await ann.sees_the_tick("Hi Ben", "read")

    await ben.types("Helo Ann")
    await ann.sees_typing()
    await ben.page.keyboard.press("Enter")
    await ann.sees("Helo Ann")
    await ben.edits_the_last("Hello Ann")
    await ann.sees("Hello Ann")
    await ann.sees_the_word("edited")
    await ann.reacts("Hello Ann", "👍")
    await ben.sees_the_reaction("Hello Ann", "👍")

    await ben.replies("Hi Ben", "Hi yourself")
    await ann.sees("Hi yourself")
    await ann.jumps_to_what_is_quoted("Hi yourself", "Hi Ben")
    await ann.edits("Hi Ben", "Good morning Ben")
    await ben.sees("Good morning Ben")
    await ann.deletes("Good morning Ben")
    await ben.sees_the_word("Message deleted")

    await ann.makes_a_group("Team", ben)
    await ann.says("The needle is here", "and this is the haystack")
    await ben.opens("Team")
    await ann.sees_the_tick("The needle is here", "read")
    await ann.searches_here("needles")
    await ann.follows_the_hit("The needle is here")

    await ann.opens_the_details()
    await ann.does_with(ben, "Remove from the group")
    await ann.confirms("Remove from the group")
    await expect(ben.row("Team")).to_have_count(0)
    await ben.sees_the_word("Choose a chat, or find somebody by name")

    elsewhere = await kind(await visitor(), ben.name).signs_in()
    await ben.opens_from_the_menu("Devices")
    await ben.presses(ben.dialog.get_by_role("button", name="Sign out"))
    await elsewhere.sees_the_word("You are signed out: this session has ended")
    await expect(ben.dialog.get_by_text("You are signed in on this device only")).to_be_visible()


async def test_a_group_of_three(newcomer: Newcomer) -> None:
    ann, ben, eve = [await newcomer(name) for name in ("ann", "ben", "eve")]
    await ann.makes_a_group("Team", ben, eve)
    await ben.opens("Team")

    await ann.types(f"A letter for @{ben.name[:2]}")
    await expect(ann.page.get_by_role("option", name=ben.name, exact=True)).to_be_visible()
    await ann.page.keyboard.press("Enter")
    await ann.page.keyboard.press("Enter")
    letter = f"A letter for @{ben.name}"
    await ben.sees(letter)
    await expect(ben.message(letter).locator(".me")).to_have_text(f"@{ben.name}")

    await ann.sees_the_tick(letter, "read by some")
    await ann.asks_who_has_read(letter)
    await expect(ann.dialog.get_by_role("heading", name="Read by 1 of 2")).to_be_visible()
    await expect(ann.dialog.get_by_role("list").first).to_contain_text(ben.name)
    await expect(ann.dialog.get_by_role("list").last).to_contain_text(eve.name)
    await ann.closes_the_dialog()

    await ben.says("Another letter")
    await ann.sees("Another letter")
    hits = ann.side.get_by_role("link").filter(has_text="letter")
    await ann.searches_here("letters")
    await expect(hits).to_have_count(2)
    await ann.chooses_in(ann.side.get_by_role("combobox", name="From"), ben.name)
    await expect(hits).to_have_count(1)
    await ann.follows_the_hit("Another letter")
    await ann.side.get_by_label("Until").fill("2001-01-01")
    await expect(ann.side.get_by_text("Nothing was found")).to_be_visible()
    await ann.presses(ann.button("Close the search"))

    await ben.opens_the_details()
    await expect(ben.button("Rename")).to_have_count(0)
    await ann.opens_the_details()
    await ann.does_with(ben, "Admin")
    await expect(ann.member(ben.name)).to_contain_text("admin")
    await expect(ben.member(ben.name)).to_contain_text("admin")
    await ben.renames_the_group("Crew")
    await ann.is_at("Crew")
    await ben.does_with(eve, "Remove from the group")
    await ben.confirms("Remove from the group")
    await expect(eve.row("Crew")).to_have_count(0)
    await ben.presses(ben.button("Leave group", ben.details))
    await ben.confirms("Leave group")
    await expect(ben.row("Crew")).to_have_count(0)
    await expect(ann.details.get_by_role("listitem").filter(has=ann.page.locator(".member-name"))).to_have_count(1)
    await expect(ann.chat.locator("header").get_by_text("1 member")).to_be_visible()


async def test_who_comes_back_finds_what_is_new_and_what_was_not_sent(newcomer: Newcomer) -> None:
    ann, ben = await newcomer("ann"), await newcomer("ben")
    await ann.opens_notes()
    await ann.says("Buy milk")
    await ann.sees_in_the_list("My notes", "Buy milk")
    await ann.finds(ben.name)
    await ben.opens(ann.name)
    await ben.says("An old word")
    await ben.sees_the_tick("An old word", "read")
    await ann.types("Let me think")
    await ann.opens("My notes")
    await ann.sees_in_the_list(ben.name, "Draft: Let me think")

    await ben.says("First news", "Second news")

    await expect(ann.row(ben.name).get_by_label("2 unread")).to_have_text("2")
    await expect(ann.page).to_have_title("(2) Messenger")
    await ann.opens(ben.name)
    divider = ann.page.get_by_role("listitem").filter(has_text="Unread messages")
    await expect(divider).to_be_in_viewport()
    await ben.sees_the_tick("Second news", "read")
    await expect(ann.page).to_have_title("Messenger")
    shown = await ann.page.get_by_role("list", name="Messages").get_by_role("listitem").all_text_contents()
    order = [next((known for known in ORDER if known in text), "") for text in shown]
    assert order[-4:] == ORDER
    await ann.opens_the_page_again()
    await expect(ann.composer).to_have_value("Let me think")


ORDER = ["An old word", "Unread messages", "First news", "Second news"]
