"""The page opens: everything of it is there, nothing breaks its policy, and its files are kept for the next time."""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from messenger.apps.client import handlers
from messenger.apps.client.assets import STATIC, Assets
from proof.lab.waiting import happens
from tests.actors import Server
from tests.page.conftest import SETTING, Visitors, comes_true, find_browser

Start = Callable[..., Awaitable[Server]]

pytestmark = pytest.mark.shared


async def test_it_opens_without_a_complaint(visitor: Visitors) -> None:
    page = await visitor()

    assert await page.title() == "Messenger"
    answer = await page.reload()
    assert answer is not None
    assert "trusted-types messenger" in answer.headers["content-security-policy"]


async def test_its_files_are_kept_so_that_it_opens_without_a_server(visitor: Visitors) -> None:
    page = await visitor()
    await comes_true(page, "navigator.serviceWorker.controller !== null")

    await page.context.set_offline(True)
    await page.reload()

    assert await page.title() == "Messenger"
    asked = await page.evaluate("fetch('client.json').then(() => 'answered', () => 'nobody')")
    assert asked == "nobody"
    visitor.expect("ERR_INTERNET_DISCONNECTED")


@pytest.mark.alone
async def test_a_page_is_told_of_a_newer_version_and_keeps_its_own_files(
    visitor: Visitors, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = shutil.copytree(STATIC, tmp_path / "static")
    monkeypatch.setattr(handlers, "STATIC", files)
    page = await visitor(url=f"{(await start(MODE='dev')).url}/")
    await comes_true(page, "navigator.serviceWorker.controller !== null")
    first = Assets.read(files).version
    await page.evaluate("() => { navigator.serviceWorker.onmessage = ({ data }) => { self.told = data.place; } }")

    (files / "app.css").write_text("body { color: #123 }")
    newer = Assets.read(files).version
    await page.evaluate("navigator.serviceWorker.ready.then((known) => known.update()).then(() => null)")

    await comes_true(page, f"self.told === 'static/{newer}'")
    assert await page.evaluate(f"fetch('static/{first}/app.js').then((answer) => answer.status)") == 200
    await page.reload()
    assert f"static/{newer}/app.js" in await page.content()


async def test_whatever_the_browser_complains_of_is_heard(visitor: Visitors) -> None:
    page = await visitor()

    for deed, complaint in (
        ("console.error('it hurts')", "console: it hurts"),
        ("setTimeout(() => { throw new Error('it broke') })", "page: Error: it broke"),
        ("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))", "policy: img-src"),
        ("try { document.body.innerHTML = '<b>text</b>' } catch {}", "policy: require-trusted-types-for"),
        ("location = 'http://127.0.0.1:9/'", "elsewhere: GET http://127.0.0.1:9/"),
    ):

        async def is_heard(complaint: str = complaint) -> bool:
            return any(one.startswith(complaint) for one in visitor.unexpected())

        await page.evaluate(f"() => {{ {deed} }}")

        await happens(is_heard, complaint)
    visitor.expect("")  # all of it


@pytest.mark.parametrize(
    ("settings", "outcome"),
    [
        ({SETTING: "/nowhere/chromium"}, pytest.skip.Exception),
        ({SETTING: "/nowhere/chromium", "CI": "true"}, pytest.fail.Exception),
        ({SETTING: "required", "PATH": "/nowhere"}, pytest.fail.Exception),
        ({SETTING: "", "PATH": "/nowhere"}, pytest.skip.Exception),
    ],
)
def test_without_a_browser_tests_are_skipped_unless_it_is_required(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], outcome: type[BaseException]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(outcome, match="apt-get install chromium"):
        find_browser()
