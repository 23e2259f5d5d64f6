"""The page below a path, behind the lines of nginx that docs/operations.md gives for that."""

import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import expect

from proof.lab.processes import ROOT, Program, clean_environment, free_port, frozen
from proof.lab.waiting import happens
from tests.actors import PASSWORD, Person, Server
from tests.deploy.conftest import Program as FindProgram
from tests.deploy.conftest import program
from tests.page.conftest import Visitors, comes_true
from tests.page.people import Reader

pytestmark = pytest.mark.shared

__all__ = ["program"]

CONF = """
daemon off;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""
SIGN_IN = """async (body) => {
    const answer = await fetch("v1/auth/login", {
        method: "POST", body: JSON.stringify(body), headers: {"Content-Type": "application/json"},
    });
    return answer.status;
}"""
OPEN_SOCKET = """() => new Promise((tell) => {
    const socket = new WebSocket(new URL("v1/ws", document.baseURI).href.replace("http", "ws"), "messenger.v1");
    socket.onmessage = (event) => tell(JSON.parse(event.data).type);
    socket.onclose = (event) => tell(`closed ${event.code}`);
})"""


class Site(Program):
    """Somebody else's nginx, with the lines of the docs."""

    def __init__(self, nginx: str, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/chat/"
        self._command = [nginx, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
        [self._location] = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs/operations.md").read_text(), re.DOTALL)

    async def leads_to(self, server: str, status: int = 200) -> None:
        """`status`: what is answered then."""
        location = self._location.replace("http://127.0.0.1:8080/;", f"{server}/;")
        assert location != self._location
        (self.folder / "nginx.conf").write_text(CONF.format(port=self.port, location=location))
        said = self.folder / "said"
        if self.popen is None:
            self.spawn(self._command, said, clean_environment())
        else:
            self.popen.send_signal(signal.SIGHUP)

        async def answers() -> bool:
            assert self.is_running, said.read_text()
            try:
                async with aiohttp.ClientSession() as http, http.get(f"{self.url}ping") as answer:
                    return answer.status == status
            except aiohttp.ClientError:
                return False

        await happens(answers, f"nginx answers {status}")


@pytest.fixture
async def site(server: Server, program: FindProgram, tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(program("nginx"), tmp_path)
    await site.leads_to(server.url)
    yield site
    site.kill()


async def test_it_opens_signs_in_and_hears_and_no_foreign_page_does(
    visitor: Visitors, site: Site, alice: Person
) -> None:
    page = await visitor(url=site.url)

    assert await page.title() == "Messenger"
    scope = await page.evaluate("navigator.serviceWorker.ready.then((worker) => worker.scope)")
    assert scope == site.url
    assert await page.evaluate(SIGN_IN, {"login": alice.name, "password": PASSWORD}) == 200
    assert await page.evaluate(OPEN_SOCKET) == "hello"
    [cookie] = await page.context.cookies()
    foreign = {"Cookie": f"{cookie['name']}={cookie['value']}", "Origin": "http://127.0.0.1:1"}
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await http.ws_connect(f"{site.url}v1/ws", headers=foreign)


async def test_people_talk_there(visitor: Visitors, site: Site) -> None:
    ann, ben = [await Reader(await visitor(url=site.url), name).registers() for name in ("ann", "ben")]

    await ann.finds(ben.name)
    await ann.says("Is it far?")
    await ben.opens(ann.name)
    await ben.says("Just one path away")

    await ann.sees("Just one path away")
    await ann.sees_the_tick("Is it far?", "read")
    await ann.opens_the_page_again()
    await ann.sees("Just one path away")
    assert ann.page.url.startswith(f"{site.url}#chat/")


@pytest.mark.long
async def test_it_opens_where_the_server_is_silent(visitor: Visitors, site: Site) -> None:
    page = await visitor(url=site.url)
    await comes_true(page, "navigator.serviceWorker.controller !== null")
    visitor.expect("Failed to load resource")

    with frozen(site.processes()):
        await page.reload()

        assert await page.title() == "Messenger"


async def test_it_opens_where_the_proxy_finds_no_server(visitor: Visitors, site: Site) -> None:
    page = await visitor(url=site.url)
    await comes_true(page, "navigator.serviceWorker.controller !== null")
    visitor.expect("Failed to load resource")

    await site.leads_to("http://127.0.0.1:1", 502)
    await page.reload()

    assert await page.title() == "Messenger"


async def test_without_the_last_slash_it_is_found_too(site: Site) -> None:
    async with aiohttp.ClientSession() as http, http.get(site.url.removesuffix("/")) as answer:
        assert (answer.status, str(answer.url)) == (200, site.url)


async def test_the_docs_ask_and_sign_in_there(visitor: Visitors, site: Site, alice: Person) -> None:
    page = await visitor(url=f"{site.url}docs/")

    await page.get_by_role("button", name="Authorize").first.click()
    await page.get_by_label("username:").fill(alice.name)
    await page.get_by_label("password:").fill(PASSWORD)
    await page.get_by_role("button", name="Apply given OAuth2 credentials").click()
    await expect(page.get_by_role("heading", name="Authorized")).to_be_visible()
    await page.get_by_role("button", name="Close").last.click()
    me = page.locator(".opblock").filter(has=page.locator("[data-path='/v1/users/me']")).first
    await me.get_by_role("button").first.click()
    async with page.expect_response(f"{site.url}v1/users/me") as answered:
        await me.get_by_role("button", name="Execute").click()

    assert (await (await answered.value).json())["user_id"] == alice.user_id
    await page.get_by_role("link", name="Errors", exact=True).click()
    await expect(page.locator("#not-found")).to_be_visible()
