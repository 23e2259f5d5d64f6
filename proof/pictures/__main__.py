"""`python -m proof.pictures [FOLDER]`: the pictures of the README, taken of a real server in a real browser.

Clock, fonts and words are the same each time, so a picture changes only where the page does.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from messenger.db.private.cluster import PrivatePostgres
from proof.lab.browser import MISSING, WHOLE, find, sign_in
from proof.lab.processes import ROOT, Process
from proof.pictures.scene import NOW, Scene, build, set_times
from proof.pictures.states import STATES

PICTURES = ROOT / "docs" / "pictures"
DESK, PHONE = (1280, 800), (390, 844)
# name: state, size, theme, language
TAKEN = {
    "desk": ("details", DESK, "light", "en-GB"),
    "desk-dark": ("message-menu", DESK, "dark", "en-GB"),
    "phone": ("group", PHONE, "light", "en-GB"),
    "phone-dark": ("list", PHONE, "dark", "ru-RU"),
}
# The same letters on every machine that has this family; Debian: fonts-noto-core, fonts-noto-color-emoji.
FONT = ":root { --font: 'Noto Sans', 'Noto Color Emoji', sans-serif !important; }"


async def take(folder: Path) -> None:
    browser_path = find(WHOLE)
    if browser_path is None:
        sys.exit(f"{MISSING}. Its fonts on Debian or Ubuntu: fonts-noto-core fonts-noto-color-emoji")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pictures-") as place:
        lease = await asyncio.to_thread(PrivatePostgres.lease, Path(place) / "postgres")
        with lease as postgres:
            server = Process(Path(place), {"DATABASE_URL": postgres.url, "MIGRATE_ON_START": "true"})
            try:
                scene = await build(await server.start().ready())
                server.kill()
                await set_times(postgres.url)
                await server.start().ready()
                async with async_playwright() as playwright:
                    browser = await playwright.chromium.launch(executable_path=browser_path)
                    for name in TAKEN:
                        await _take(browser, server.url, scene, name, folder)
                    await browser.close()
            finally:
                server.kill()


async def _take(browser: Browser, url: str, scene: Scene, name: str, folder: Path) -> None:
    state, (width, height), theme, locale = TAKEN[name]
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        locale=locale,
        timezone_id="UTC",
        reduced_motion="reduce",
        bypass_csp=True,  # for the font
        device_scale_factor=2 if width < height else 1,
    )
    page = await context.new_page()
    await page.clock.set_fixed_time(NOW)
    await page.goto(f"{url}/")
    await page.add_style_tag(content=FONT)
    await sign_in(page, scene.me.name)
    await next(one for one in STATES if one.name == state).lead(page, scene)
    await page.evaluate("document.activeElement?.blur()")
    await page.mouse.move(4, height - 4)  # over nothing
    await page.wait_for_load_state("networkidle")
    await page.screenshot(path=folder / f"{name}.png", animations="disabled", caret="hide")
    print(folder / f"{name}.png")
    await context.close()


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES))
