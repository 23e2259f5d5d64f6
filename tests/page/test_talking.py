"""People talk at the page, each with a browser of their own, and see of each other what they should."""

from collections.abc import Awaitable, Callable
from itertools import count

import pytest
from playwright.async_api import expect

from tests.page.conftest import Visitors
from tests.page.people import Reader, Typist

pytestmark = pytest.mark.shared

Two = tuple[Reader, Reader]
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


@pytest.fixture
async def two(newcomer: Newcomer) -> Two:
    """They have a chat with each other, which both have open."""
    ann, ben = await newcomer("ann"), await newcomer("ben")
    await ann.finds(ben.name)
    await ben.opens(ann.name)
    return ann, ben


@pytest.fixture
async def three(newcomer: Newcomer, two: Two) -> tuple[Reader, Reader, Reader]:
    """They have a group, too."""
    ann, ben = two
    eve = await newcomer("eve")
    await ann.makes_a_group("Team", ben, eve)
    return ann, ben, eve


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


async def test_a_group_and_the_roles_in_it(three: tuple[Reader, Reader, Reader]) -> None:
    ann, ben, eve = three
    await ann.says("Who is here?")
    await ben.opens("Team")
    await ben.sees("Who is here?")

    await ann.sees_the_tick("Who is here?", "read by some")
    await ann.asks_who_has_read("Who is here?")
    await expect(ann.dialog.get_by_role("heading", name="Read by 1 of 2")).to_be_visible()
    await expect(ann.dialog.get_by_role("list").first).to_contain_text(ben.name)
    await expect(ann.dialog.get_by_role("list").last).to_contain_text(eve.name)
    await ann.closes_the_dialog()

    await ben.opens_the_details()
    await expect(ben.button("Rename")).to_have_count(0)
    await ann.opens_the_details()
    await ann.does_with(ben, "Admin")
    await expect(ann.member(ben.name)).to_contain_text("admin")
    await expect(ben.member(ben.name)).to_contain_text("admin")

    await ben.presses(ben.button("Rename"))
    await ben.writes_into(ben.dialog.get_by_label("Group name"), "Crew")
    await ben.confirms("Save")
    await ann.is_at("Crew")

    await ben.does_with(eve, "Remove from the group")
    await ben.confirms("Remove from the group")
    await expect(eve.row("Crew")).to_have_count(0)
    await expect(ann.member(eve.name)).to_have_count(0)

    await ben.presses(ben.button("Leave group", ben.details))
    await ben.confirms("Leave group")
    await expect(ben.row("Crew")).to_have_count(0)
    await expect(ann.member(ben.name)).to_have_count(0)
    await expect(ann.chat.locator("header").get_by_text("1 member")).to_be_visible()


async def test_who_is_called_is_found_while_one_types_the_name(three: tuple[Reader, Reader, Reader]) -> None:
    ann, ben, _ = three

    await ann.types(f"hello @{ben.name[:2]}")
    await expect(ann.page.get_by_role("option", name=ben.name, exact=True)).to_be_visible()
    await ann.page.keyboard.press("Enter")
    await ann.page.keyboard.type("there")
    await ann.page.keyboard.press("Enter")

    await ben.opens("Team")
    await ben.sees(f"hello @{ben.name} there")
    await expect(ben.message(f"hello @{ben.name} there").locator(".me")).to_have_text(f"@{ben.name}")


async def test_what_is_unread_is_counted_and_marked(two: Two) -> None:
    ann, ben = two
    await ben.says("An old word")
    await ben.sees_the_tick("An old word", "read")
    await ann.looks_away()

    await ben.says("First news", "Second news")

    await expect(ann.row(ben.name).get_by_label("2 unread")).to_have_text("2")
    await expect(ann.page).to_have_title("(2) Messenger")
    await ann.opens(ben.name)
    order = ann.page.get_by_role("list", name="Messages").get_by_role("listitem")
    await expect(order.filter(has_text="Unread messages")).to_be_in_viewport()
    assert [words for words in ("An old word", "Unread messages", "First news") if words] == [
        next(known for known in ("An old word", "Unread messages", "First news", "Second news") if known in text)
        for text in (await order.all_text_contents())[-4:-1]
    ]
    await ben.sees_the_tick("Second news", "read")
    await expect(ann.page).to_have_title("Messenger")
    await expect(order.filter(has_text="Unread messages")).to_be_visible()


async def test_words_that_are_not_sent_are_there_after_a_reload(two: Two) -> None:
    ann, ben = two
    await ann.types("Let me think")

    await ann.opens_notes()
    await ann.sees_in_the_list(ben.name, "Draft: Let me think")
    await ann.opens(ben.name)
    await ann.opens_the_page_again()

    await expect(ann.composer).to_have_value("Let me think")


async def test_notes_to_oneself(newcomer: Newcomer) -> None:
    ann = await newcomer("ann")

    await ann.opens_notes()
    await ann.says("Buy milk")

    await ann.sees("Buy milk")
    await ann.sees_in_the_list("My notes", "Buy milk")


async def test_a_search_is_narrowed_by_who_said_it_and_when(three: tuple[Reader, Reader, Reader]) -> None:
    ann, ben, _ = three
    await ben.opens("Team")
    await ann.says("A letter from Ann", *(f"Line {number}" for number in range(30)))
    await ben.sees("Line 29")
    await ben.says("A letter from Ben")
    await ann.sees("A letter from Ben")
    hits = ann.side.get_by_role("link").filter(has_text="letter from")

    await ann.searches_here("letter")
    await expect(hits).to_have_count(2)
    await ann.chooses_in(ann.side.get_by_role("combobox", name="From"), ann.name)
    await expect(hits).to_have_count(1)
    await ann.follows_the_hit("A letter from Ann")

    await ann.side.get_by_label("Until").fill("2001-01-01")
    await expect(ann.side.get_by_text("Nothing was found")).to_be_visible()
