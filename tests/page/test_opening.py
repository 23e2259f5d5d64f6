"""The page opens: everything of it is there, nothing breaks its policy, and its files are kept for the next time."""

import pytest

from proof.lab.waiting import happens
from tests.page.conftest import SETTING, Visitors, comes_true, find_browser

pytestmark = pytest.mark.shared


async def test_it_opens_without_a_complaint(visitor: Visitors) -> None:
    page = await visitor()

    assert await page.title() == "Messenger"
    answer = await page.reload()
    assert answer is not None
    assert "trusted-types messenger" in (answer.headers["content-security-policy"])


async def test_its_files_are_kept_so_that_it_opens_without_a_server(visitor: Visitors) -> None:
    page = await visitor()
    await comes_true(page, "navigator.serviceWorker.controller !== null")

    await page.context.set_offline(True)
    await page.reload()

    assert await page.title() == "Messenger"
    asked = await page.evaluate("fetch('client.json').then(() => 'answered', () => 'nobody')")
    assert asked == "nobody"
    visitor.expect("ERR_INTERNET_DISCONNECTED")


@pytest.mark.parametrize(
    ("deed", "complaint"),
    [
        ("console.error('it hurts')", "console: it hurts"),
        ("setTimeout(() => { throw new Error('it broke') })", "page: Error: it broke"),
        ("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))", "policy: img-src"),
        ("try { document.body.innerHTML = '<b>text</b>' } catch {}", "policy: require-trusted-types-for"),
        ("location = 'http://127.0.0.1:9/'", "elsewhere: GET http://127.0.0.1:9/"),
    ],
)
async def test_a_complaint_of_the_browser_is_heard(visitor: Visitors, deed: str, complaint: str) -> None:
    page = await visitor()

    async def is_heard() -> bool:
        return any(one.startswith(complaint) for one in visitor.unexpected())

    await page.evaluate(f"() => {{ {deed} }}")

    await happens(is_heard, complaint)
    visitor.expect("")  # whatever else it said of that


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
