"""deploy/nginx by itself: what it says and where it sends, held against the code of the servers behind it."""

import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from messenger.app import create_app
from messenger.apps.client import handlers
from messenger.apps.client.assets import STATIC
from messenger.errors import catalogue
from messenger.settings import Config
from messenger.web.access import action_of, is_stream
from messenger.web.body import BODY_LIMIT
from proof.lab.nginx import FILES, Nginx
from proof.lab.waiting import happens
from tests.actors import Server
from tests.deploy.conftest import Program
from tests.deploy.tls import write_certificate

Start = Callable[..., Awaitable[Server]]
Routes = list[tuple[str, str, object]]

NGINX = (FILES / "nginx.conf").read_text()


@pytest.fixture
def routes(config: Config) -> Routes:
    """Method, an address as people ask for it, and the handler."""
    app = create_app(config, "postgresql://nowhere/nothing")
    return [
        (route.method, re.sub(r"\{[^/]+?\}(?=/|$)", "7", route.resource.canonical), route.handler)
        for route in app.router.routes()
        if route.resource is not None
    ]


def table(name: str, file: str = "nginx.conf") -> dict[str, str]:
    """A `map` of nginx: what is looked for, and what is found."""
    [body] = re.findall(rf"map [^{{;]* \${name} \{{\n(.*?)\n\s*\}}", (FILES / file).read_text(), re.DOTALL)
    rows = re.findall(r'^\s*("[^"]*"|\S+) ("[^"]*"|[^;]*);$', body, re.MULTILINE)
    return {key.strip('"'): value.strip('"') for key, value in rows}


def looked_up(name: str, value: str, file: str = "nginx.conf") -> str:
    found = table(name, file)
    matching = (known for sought, known in found.items() if sought[:1] == "~" and re.search(sought[1:], value))
    return next(matching, found.get("default", ""))


def test_its_refusals_have_the_words_of_the_servers() -> None:
    codes, titles = table("problem_code"), table("problem_title")

    ours = {(str(error.status), error.code, error.title) for error in catalogue()}
    assert codes.keys() == titles.keys()
    for status, code in codes.items():
        assert (status.replace("default", "500"), code, titles[status]) in ours


def test_every_refusal_that_it_makes_has_words() -> None:
    text = (FILES / "nginx.conf").read_text()

    refused = {
        status for line in re.findall(r"error_page ([\d ]+) (?:=\d+ )?/problem;", text) for status in line.split()
    }

    assert refused - {"494", "500"} == table("problem_code").keys() - {"default", "431"}


def test_a_body_may_be_as_large_as_the_servers_take_it() -> None:
    assert f"client_max_body_size {BODY_LIMIT // 1024}k;" in NGINX


def test_what_lasts_has_a_place_of_its_own(routes: Routes) -> None:
    [lasting] = re.findall(
        r"location ~ (\S+) \{\n\s*proxy_pass http://messenger_lasting;", (FILES / "nginx.conf").read_text()
    )

    for _, path, handler in routes:
        assert bool(re.search(lasting, path)) == is_stream(handler), path


def test_sends_are_counted_as_sends_and_all_else_is_not(routes: Routes) -> None:
    for method, path, handler in routes:
        found = looked_up("send_caller", f"{method} {path}", "limits.conf")

        assert bool(found) == (action_of(handler) == "send"), f"{method} {path}"


def test_what_is_never_limited_is_not_limited_here_either(routes: Routes) -> None:
    for _, path, handler in routes:
        assert bool(looked_up("other_caller", f"|{path}", "limits.conf")) == bool(action_of(handler)), path


def test_where_people_sign_in_is_counted_by_address(routes: Routes) -> None:
    places = {path for method, path, _ in routes if looked_up("login_address", f"{method} {path}", "limits.conf")}

    assert places == {
        "/v1/auth/register", "/v1/auth/login", "/v1/auth/link", "/v1/auth/refresh", "/login", "/users/register",
        "/users/login",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("request_line", "may"),
    [
        ("POST /v1/chats/7/messages with-key", True),
        ("POST /v1/messages/user/7 with-key", True),
        ("POST /v1/chats/7/messages ", False),
        ("POST /v1/chats with-key", False),
        ("POST /v1/auth/login with-key", False),
        ("POST /messages/user/7 with-key", False),
        ("POST /v1/chats/7/read ", True),
        ("POST /v1/messages/read/7 ", True),
    ],
)
def test_only_what_is_the_same_twice_may_be_repeated(request_line: str, may: bool) -> None:
    assert looked_up("may_be_repeated", request_line) == ("1" if may else "0")


@pytest.mark.parametrize("tls", ["0", "1"])
@pytest.mark.parametrize("throttling", ["0", "1"])
def test_nginx_understands_the_files(tmp_path: Path, program: Program, throttling: str, tls: str) -> None:
    nginx = program("nginx")
    write_certificate(tmp_path)
    files = Nginx(tmp_path, []).written()
    for name, wanted, place in (("limits.conf", throttling, "http.d"), ("tls.conf", tls, "server.d")):
        (files / place).mkdir()
        if wanted == "1":
            (files / name).rename(files / place / name)
    (files / "certs").symlink_to(tmp_path)
    for name, how in (("servers.conf", ""), ("servers_lasting.conf", ""), ("servers_last_resort.conf", " backup")):
        (files / name).write_text(f"server 127.0.0.1:1{how};\n")

    command = [nginx, "-p", files, "-c", "nginx.conf", "-e", "stderr", "-t"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)

    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "API_SERVERS: names no servers: host:port … is expected"),
        ({"API_SERVERS": "a:1", "NGINX_THROTTLING": "maybe"}, "NGINX_THROTTLING=maybe is not 0 or 1."),
        ({"API_SERVERS": "a:1", "NGINX_TLS": "2"}, "NGINX_TLS=2 is not 0 or 1."),
    ],
)
def test_a_bad_setting_is_refused_with_a_sentence(tmp_path: Path, settings: dict[str, str], sentence: str) -> None:
    environment = {"PATH": "/usr/bin:/bin", "NGINX_DIR": str(tmp_path / "nginx"), **settings}

    said = subprocess.run([FILES / "run.sh"], env=environment, capture_output=True, text=True, check=False)

    assert said.returncode == 2
    assert sentence in said.stderr


class TestNames:
    """Of servers that come and go. What answers for names here is a file; all else is real."""

    @pytest.fixture
    def known(self, tmp_path: Path) -> Path:
        (tmp_path / "bin").mkdir()
        (tmp_path / "known").touch()
        program = tmp_path / "bin" / "getent"
        program.write_text(f'#!/bin/sh\ngrep -qx "$2" {tmp_path}/known && echo "127.0.0.1 STREAM $2"\n')
        program.chmod(0o755)
        return tmp_path / "known"

    @pytest.fixture
    def nginx(self, tmp_path: Path, known: Path, server: Server, program: Program) -> Iterator[Nginx]:
        program("nginx")
        path = f"{tmp_path}/bin:/usr/bin:/bin:/usr/sbin"
        running = Nginx(tmp_path, ["away:1", f"api:{server.port}"], PATH=path).start()
        yield running
        running.kill()

    async def test_a_server_is_found_when_its_name_leads_somewhere(self, nginx: Nginx, known: Path) -> None:
        async def answers(status: int) -> bool:
            try:
                async with aiohttp.ClientSession() as http, http.get(f"{nginx.url}/ping") as answer:
                    return answer.status == status
            except aiohttp.ClientError:
                return False

        await happens(lambda: answers(502), "nginx started without any server")
        known.write_text("api\n")

        await happens(lambda: answers(200), "it found the server")


class TestThePage:
    @pytest.fixture
    async def newer(self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
        """A server of another version than `server`."""
        files = shutil.copytree(STATIC, tmp_path / "static")
        (files / "new.js").write_text("export {};")
        monkeypatch.setattr(handlers, "STATIC", files)
        return await start()

    @pytest.fixture
    async def nginx(self, tmp_path: Path, server: Server, newer: Server, program: Program) -> AsyncIterator[Nginx]:
        program("nginx")
        nginx = Nginx(tmp_path, [f"127.0.0.1:{server.port}", f"127.0.0.1:{newer.port}"]).start()

        async def answers() -> bool:
            assert nginx.is_running, nginx.said
            try:
                return bool(await fetched(nginx, "/ping"))
            except aiohttp.ClientError:
                return False

        await happens(answers, "nginx")
        yield nginx
        nginx.kill()

    @pytest.mark.parametrize("coding", ["br", "gzip"])
    async def test_a_file_is_packed_once(self, nginx: Nginx, coding: str) -> None:
        plain = {await fetched(nginx, "/sw.js") for _ in range(4)}
        packed = {await fetched(nginx, "/sw.js", coding) for _ in range(4)}

        assert packed == {(200, coding, body) for _, _, body in plain}

    async def test_each_version_finds_its_files_while_servers_are_replaced(
        self, nginx: Nginx, server: Server, newer: Server
    ) -> None:
        for one in (server, newer):
            version = one.runner.app[handlers.ASSETS]().version

            found = [(await fetched(nginx, f"/static/{version}/app.js"))[0] for _ in range(4)]

            assert found == [200] * 4
        assert (await fetched(nginx, "/static/0/app.js"))[0] == 404


async def fetched(nginx: Nginx, path: str, coding: str = "identity") -> tuple[int, str | None, bytes]:
    headers = {"Accept-Encoding": coding}
    async with aiohttp.ClientSession() as http, http.get(nginx.url + path, headers=headers) as answer:
        return answer.status, answer.headers.get("Content-Encoding"), await answer.read()
