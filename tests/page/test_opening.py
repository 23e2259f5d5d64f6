"""The page opens: everything of it is there, nothing breaks its policy, and its files are kept for the next time."""

import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import expect

from messenger.apps.auth import service as accounts
from messenger.apps.auth.context import AUTH
from messenger.apps.client import handlers
from messenger.apps.client.assets import STATIC, Assets
from messenger.identity import Caller, UserId
from proof.lab.browser import SETTING
from proof.lab.proxy import Dropper, Proxy, to_port
from proof.lab.waiting import happens
from tests.actors import Server
from tests.page.conftest import Visitors, comes_true, find_browser
from tests.page.people import Reader
from tests.people import present

# Compressed, without the pictures of an installed page; and requests of a reload.
BYTES, REQUESTS = 150_000, 5
REQUEST = re.compile(rb"^((?:GET|POST|PUT|PATCH|DELETE) \S+) HTTP/1.1\r$", re.MULTILINE)

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


class Meter(Dropper):
    """Counts what passes; one for all connections."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.bytes = 0

    def forth(self, data: bytes, dropping: bool) -> tuple[bytes, bytes]:
        self.asked += [asked.decode() for asked in REQUEST.findall(data)]
        return data, b""

    def back(self, data: bytes, dropping: bool) -> bytes:
        self.bytes += len(data)
        return data


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
async def metered(server: Server, meter: Meter) -> AsyncIterator[str]:
    """The page's address, where all that passes is counted."""
    proxy = await Proxy(to_port(server.port), lambda: meter).start()
    yield f"{proxy.url}/"
    await proxy.close()


async def test_it_is_small_and_asks_little(visitor: Visitors, metered: str, meter: Meter) -> None:
    page = await visitor(url=metered)
    await comes_true(page, "navigator.serviceWorker.controller !== null")
    pictures = sum(path.stat().st_size for path in STATIC.glob("icons/*.png"))
    assert meter.bytes - pictures < BYTES, meter.asked
    print(f"first visit: {meter.bytes - pictures} bytes, {len(meter.asked)} requests")
    ann = await Reader(page, "ann").registers()
    ben = await Reader(await visitor(), "ben").registers()
    await ben.finds(ann.name)

    meter.asked.clear()
    await ann.opens_the_page_again()
    await ben.says("One", "Two", "Three")
    await expect(ann.row(ben.name).get_by_label("3 unread")).to_be_visible()
    print(f"reload: {meter.asked}")
    assert len(meter.asked) <= REQUESTS, meter.asked

    meter.asked.clear()
    await ann.opens(ben.name)
    await ben.sees_the_tick("Three", "read")
    asked = [one.partition("?")[0] for one in meter.asked]
    assert [one for one in asked if one != "GET /sw.js"] == ["GET /v1/chats/1/messages"]  # the browser looks for news


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


async def test_a_link_signs_in_once_and_leaves_no_trace_in_the_address(visitor: Visitors, server: Server) -> None:
    async with present(server, "alice") as alice:
        auth = server.runner.app[AUTH]
        token = await accounts.make_link(auth, UserId(int(alice.user_id)), 60, Caller("127.0.0.1", ""))

    page = await visitor(f"#link={token}")

    await expect(page.get_by_role("navigation", name="Chats")).to_be_visible()
    assert "link" not in page.url
    visitor.expect("401")
    other = await visitor(f"#link={token}")
    await expect(other.get_by_text("This link or session is not valid any more")).to_be_visible()
    assert "link" not in other.url


@pytest.mark.alone
async def test_who_comes_first_is_told_what_to_do(visitor: Visitors) -> None:
    page = await visitor()

    await expect(page.get_by_role("heading", name="New account")).to_be_visible()
    await expect(page.get_by_text("you are the first")).to_be_visible()


async def test_what_is_known_before_the_first_frame_is_shown_all_the_same(visitor: Visitors, server: Server) -> None:
    """What was kept is read faster than a busy machine paints; no news of a server will draw the page anew."""
    visitor.expect("ERR_INTERNET_DISCONNECTED")
    async with present(server, "alice"):
        page = await visitor()
        await Reader(page, "alice").signs_in()
    await comes_true(page, "navigator.serviceWorker.controller !== null")
    await page.context.add_init_script(
        "const later = setTimeout; requestAnimationFrame = (draw) => later(draw, 2_000);"
    )

    await page.context.set_offline(True)
    await page.reload()

    await expect(page.get_by_role("navigation", name="Chats")).to_be_visible()
