"""The page below a path, behind the lines of nginx that docs/operations.md gives for that."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from proof.lab.processes import ROOT, Program, clean_environment, free_port
from proof.lab.waiting import happens
from tests.actors import PASSWORD, Person, Server
from tests.deploy.conftest import program
from tests.page.conftest import Visitors, comes_true

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


@pytest.fixture
async def url(server: Server, program, tmp_path: Path) -> AsyncIterator[str]:
    [location] = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs/operations.md").read_text(), re.DOTALL)
    assert location.count("http://127.0.0.1:8080/;") == 1
    location = location.replace("http://127.0.0.1:8080/;", f"{server.url}/;")
    port = free_port()
    (tmp_path / "nginx.conf").write_text(CONF.format(port=port, location=location))
    nginx, said = Program(), tmp_path / "said"
    command = [program("nginx"), "-p", str(tmp_path), "-c", "nginx.conf", "-e", "stderr"]
    nginx.spawn(command, said, clean_environment())
    url = f"http://127.0.0.1:{port}/chat/"

    async def answers() -> bool:
        assert nginx.is_running, said.read_text()
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{url}ping") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    await happens(answers, "nginx")
    yield url
    for process in nginx.processes():
        process.kill()
    nginx.popen.wait()


async def test_it_opens_signs_in_and_hears(visitor: Visitors, url: str, alice: Person) -> None:
    page = await visitor(url=url)

    assert await page.title() == "Messenger"
    scope = await page.evaluate("navigator.serviceWorker.ready.then((worker) => worker.scope)")
    assert scope == url
    assert await page.evaluate(SIGN_IN, {"login": alice.name, "password": PASSWORD}) == 200
    assert await page.evaluate(OPEN_SOCKET) == "hello"


async def test_it_is_kept_below_its_path(visitor: Visitors, url: str) -> None:
    page = await visitor(url=url)
    await comes_true(page, "navigator.serviceWorker.controller !== null")

    await page.context.set_offline(True)
    await page.reload()

    assert await page.title() == "Messenger"


async def test_a_page_from_elsewhere_opens_no_socket_there(visitor: Visitors, url: str, alice: Person) -> None:
    page = await visitor(url=url)
    assert await page.evaluate(SIGN_IN, {"login": alice.name, "password": PASSWORD}) == 200
    [cookie] = await page.context.cookies()
    headers = {"Cookie": f"{cookie['name']}={cookie['value']}", "Origin": "http://127.0.0.1:1"}

    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{url}v1/ws", headers=headers)
        own = {**headers, "Origin": url.removesuffix("/chat/")}
        async with http.ws_connect(f"{url}v1/ws", headers=own) as socket:
            assert (await socket.receive_json())["type"] == "hello"

    assert refused.value.status == 403


async def test_without_the_last_slash_it_is_found_too(url: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(url.removesuffix("/")) as answer:
        assert (answer.status, str(answer.url)) == (200, url)
