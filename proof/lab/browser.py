"""Where a browser is, and how somebody gets in with it."""

import os
import shutil
from collections.abc import Sequence

from playwright.async_api import Page, expect

from proof.lab.crowd import PASSWORD

MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
# What people use.
WHOLE = ("chromium", "chromium-browser", "google-chrome", MAC)
# The first one draws nothing on a desktop, and needs half of the time.
NAMES = ("chromium-headless-shell", *WHOLE)
# Where a browser is, or `required`: then its absence is no reason to skip a test; where CI is said it never is.
SETTING = "MESSENGER_BROWSER"
MISSING = f"no browser: apt-get install chromium (for tests chromium-headless-shell), or name a Chromium in {SETTING}"


def find(names: Sequence[str] = NAMES) -> str | None:
    named = os.environ.get(SETTING, "")
    return next(filter(None, map(shutil.which, names if named in {"", "required"} else (named,))), None)


async def sign_in(page: Page, name: str) -> None:
    await page.fill("#name", name)
    await page.fill("#password", PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator(".chat-row").first).to_be_visible()
