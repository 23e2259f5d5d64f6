"""Whatever people type is text wherever the page shows it: never markup, never code, never something else."""

import pytest
from playwright.async_api import Locator, expect

from tests.page.conftest import Visitors
from tests.page.people import Reader, Typist
from tests.sizes import sized

pytestmark = pytest.mark.shared

PAYLOADS = [
    "<script>alert(1)</script>",
    "</textarea><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    "<svg onload=alert(4)></svg>",
    "<b>bold</b> and <i>italic</i>",
    '<a href="javascript:alert(5)">click me</a>',
    "javascript:alert(6)",
    "data:text/html,<script>alert(7)</script>",
    'https://example.invalid/"onmouseover="alert(8)',
    "https://example.invalid/<script>alert(9)</script>",
    "<iframe srcdoc='<script>alert(10)</script>'></iframe>",
    "<style>* { display: none }</style>",
    "<!-- a comment -->",
    "<![CDATA[ text ]]>",
    "<form action=//example.invalid><input name=password></form>",
    "<math><mtext></mtext><script>alert(11)</script></math>",
    "<template><img src=x onerror=alert(12)></template>",
    "&lt;script&gt;alert(13)&lt;/script&gt;",
    "&amp;&nbsp;&#x41;",
    "\"'`><script>alert(14)</script>",
    "{{7*7}}",
    "${alert(15)}",
    "#{7*7} <%= 7*7 %> {count} {name}",
    "$& $1 $` \\0 \\u0041",
    "' or 1=1; drop table users; --",
    "../../etc/passwd",
    "%3Cscript%3Ealert(16)%3C/script%3E",
    "undefined",
    "null",
    "NaN",
    "__proto__",
    "constructor",
    "toString",
    "[object Object]",
    "Z\u0351\u0352\u0353a\u0354\u0355\u0356l\u0357\u0358\u0359g\u035a\u035b\u035co",
    "👩‍👩‍👧‍👦🏳️‍🌈👍🏿🇳🇱",
    "שלום <b>עולם</b> مرحبا",
    "ｆｕｌｌ ｗｉｄｔｈ",
    "@__proto__ @constructor",
    "W" * 250,
]
# What the server takes in a message and refuses in a name, or what is longer than one may be.
UNNAMEABLE = ["user\u202etxt.exe\u2066", "zero\u200bwidth\u200d", "two\nlines\n\nfour", "W" * 4096, "👍" * 4096]
# Where each takes many clicks, some of them do for a quick run.
SOME = PAYLOADS[:: len(PAYLOADS) // sized(len(PAYLOADS), least=3)]

# Nothing of this is a part of the page.
FOREIGN = """body :is(script, img, iframe, style, template, math, object, embed, b, i, form:not(.dialog form),
    [onerror], [onload], [onmouseover], [href^="javascript" i], [href^="data" i])"""
SHOWN = 153  # of a long hit: 160 letters, and seven are those of "needle "
TELL_NOTIFICATIONS = """
    self.heard = [];
    self.Notification = class extends Notification {
        static permission = "granted"; // a browser without a desktop forgets what it was told
        constructor(title, options) {
            super(title, options);
            self.heard.push([title, options.body]);
        }
    };
"""


async def shows(place: Locator, text: str) -> None:
    """Exactly that, as its textContent."""
    await expect(place).to_have_text(text)  # waits, and forgives spaces
    assert (await place.text_content() or "").strip() == text


async def test_what_is_said_and_quoted(visitor: Visitors) -> None:
    ann, ben = [await Typist(await visitor(), name).registers() for name in ("ann", "ben")]
    await ann.finds(ben.name)
    await ben.opens(ann.name)

    for text in [*PAYLOADS, *UNNAMEABLE]:
        await ann.pastes(text)
        for one in (ann, ben):
            await shows(one.page.locator(".message .words").last, text)
            await shows(one.side.locator(".chat-row-last"), text)
        if text in SOME:
            await ben.goes_to(ben.page.locator(".message").last)
            await ben.page.keyboard.press("r")
            await shows(ben.page.locator(".about-words > :last-child"), text)
            await ben.pastes(f"On {text}")
            for one in (ann, ben):
                await shows(one.page.locator(".message .words").last, f"On {text}")
                await shows(one.page.locator(".quote > :last-child").last, text)
        for one in (ann, ben):
            await expect(one.page.locator(FOREIGN)).to_have_count(0)


@pytest.mark.long
async def test_what_is_found_and_what_is_not_yet_sent(visitor: Visitors) -> None:
    ann = await Reader(await visitor(), "ann").registers()
    await ann.opens_notes()
    await ann.pastes(*(f"needle {text}" for text in PAYLOADS))
    await ann.sees_all([f"needle {text}" for text in PAYLOADS])

    await ann.writes_into(ann.search, "needles")
    hits = ann.side.locator(".hit-text")
    await expect(hits).to_have_count(20)
    await ann.presses(ann.button("More"))
    await expect(hits).to_have_count(len(PAYLOADS))
    found = [text.removeprefix("ann: needle ") for text in await hits.all_text_contents()]
    assert found[::-1] == [text if len(text) < SHOWN else f"{text[:SHOWN]}…" for text in PAYLOADS]
    await expect(ann.page.locator(FOREIGN)).to_have_count(0)
    await ann.presses(ann.button("Close the search"))

    await ann.makes_a_group("Elsewhere")
    for text in SOME:
        await ann.opens("My notes")
        await ann.pastes(text, sending=False)
        await ann.opens("Elsewhere")
        await shows(ann.row("My notes").locator(".chat-row-last"), f"Draft: {text}")
        await expect(ann.page.locator(FOREIGN)).to_have_count(0)
        await ann.opens("My notes")
        await expect(ann.composer).to_have_value(text)
        await ann.writes_into(ann.composer, "")


async def test_names_titles_and_notifications(visitor: Visitors) -> None:
    ann = await Reader(await visitor(), "ann").registers()
    page = await visitor(permissions=["notifications"])
    await page.add_init_script(TELL_NOTIFICATIONS)
    await page.reload()
    ben = await Reader(page, "ben").registers()
    await ben.opens_from_the_menu("Settings")
    await ben.ticks(ben.dialog.get_by_role("checkbox", name="Notifications on the desktop"))
    await ben.closes_the_dialog()
    await ann.finds(ben.name)
    await ann.says("Hello")
    await ann.makes_a_group("Team", ben)
    await ann.opens_the_details()
    await ben.opens("Team")
    await ben.opens_the_details()
    await ben.opens_notes()
    group, direct = (ben.side.get_by_role("link").nth(place) for place in (0, 2))

    for name in SOME:
        await ann.calls_herself(name, about=name)
        await ann.renames_the_group(name)
        await ann.pastes(name)

        await shows(group.locator(".chat-row-name"), name)
        await shows(group.locator(".chat-row-last"), f"{name}: {name}")
        await shows(direct.locator(".chat-row-name"), name)
        assert (await page.evaluate("self.heard")).pop() == [f"{name} · {name}", name[:140]]
        await ben.presses(group)
        await shows(ben.chat.locator(".chat-title-name"), name)
        await shows(ben.page.locator(".author").last, name)
        await ben.says("Who is that?")
        await shows(ben.details.locator(".info-name"), name)
        await shows(ben.details.locator(".member-name").first, name)
        await expect(ben.page.locator(FOREIGN)).to_have_count(0)
        await ben.presses(direct)
        await shows(ben.chat.locator(".chat-title-name"), name)
        await expect(ben.details.locator(".info-state")).to_contain_text(name)
        await expect(ben.page.locator(FOREIGN)).to_have_count(0)
        await ben.opens("My notes")
