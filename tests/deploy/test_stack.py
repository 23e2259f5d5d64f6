"""What compose starts, as processes: nginx, two api processes, pgbouncer and PostgreSQL, with the files of deploy/."""

import asyncio
import re
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import msgspec
import psutil  # type: ignore[import-untyped]
import pytest
from aiohttp import web

from proof.lab.nginx import Nginx
from proof.lab.pgbouncer import Pgbouncer
from proof.lab.processes import ROOT, Process, family, frozen
from proof.lab.waiting import happens
from tests.actors import Answer, Person, Server
from tests.contract import CONTRACT, SAFETY
from tests.deploy.conftest import Program
from tests.deploy.tls import trusting, write_certificate
from tests.run.admin.conftest import run_admin

NUMBERS = count(1)
CURL = re.compile(r"^\$ (curl .*localhost:8080.*)$", re.MULTILINE)


@dataclass
class Stack:
    """All but nginx."""

    folder: Path
    apis: tuple[Process, Process]
    pooled: str

    @property
    def certificates(self) -> Path:
        return self.folder / "certificates"

    async def stands(self) -> None:
        away = [api.start() for api in self.apis if not api.is_running]
        for api in away:
            await api.ready(60)  # two at once, on a busy machine

    async def line(self, request_id: str) -> dict[str, Any]:
        """What the two servers log of a request, a moment later."""
        found: list[dict[str, Any]] = []

        async def is_there() -> bool:
            said = [line for api in self.apis for line in api.said.splitlines()]
            found[:] = [msgspec.json.decode(line) for line in said if line.startswith("{") and request_id in line]
            return bool(found)

        await happens(is_there, f"a server's line about {request_id}")
        [line] = found
        return line

    @asynccontextmanager
    async def behind(self, changes: Mapping[str, str] | None = None, **settings: str) -> AsyncIterator[Nginx]:
        folder = self.folder / f"nginx{next(NUMBERS)}"
        folder.mkdir()
        servers = [f"127.0.0.1:{api.port}" for api in self.apis]
        nginx = Nginx(folder, servers, NGINX_CERTS=str(self.certificates), **settings).start(changes)
        try:
            await happens(lambda: answers(nginx), "nginx")
            yield nginx
        finally:
            nginx.kill()


@pytest.fixture(scope="module")
async def whole(
    program: Program, shared_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    program("nginx")
    folder = tmp_path_factory.mktemp("stack")
    pgbouncer = Pgbouncer(program("pgbouncer"), folder, shared_database)
    settings = {
        "DATABASE_URL": pgbouncer.dsn,
        "DATABASE_DIRECT_URL": shared_database,
        "TRUSTED_PROXIES": "127.0.0.1",
        "LOG_LEVEL": "INFO",
    }
    stack = Stack(folder, (Process(folder, settings), Process(folder, settings)), pgbouncer.dsn)
    stack.certificates.mkdir()
    write_certificate(stack.certificates)
    try:
        await pgbouncer.start().ready()
        await stack.stands()
        yield stack
    finally:
        for one in (*stack.apis, pgbouncer):
            one.kill()


@pytest.fixture(scope="module")
async def nginx(whole: Stack) -> AsyncIterator[Nginx]:
    async with whole.behind(NGINX_TLS="1") as nginx:
        yield nginx


@pytest.fixture
async def stack(whole: Stack) -> Stack:
    """Whatever became of it in the test before."""
    await whole.stands()
    return whole


async def answers(nginx: Nginx) -> bool:
    assert nginx.is_running, nginx.said
    with suppress(aiohttp.ClientError):
        return (await ask(nginx, "GET", "/ping")).status == 200
    return False


@asynccontextmanager
async def people(nginx: Nginx, how_many: int) -> AsyncIterator[list[Person]]:
    server = Server(nginx.url, web.AppRunner(web.Application()))
    async with AsyncExitStack() as kept:
        names = [f"person {next(NUMBERS)}" for _ in range(how_many)]
        yield [await kept.enter_async_context(Person.registered(server, name)) for name in names]


async def ask(nginx: Nginx, method: str, path: str, **options: Any) -> Answer:
    """Anybody's request, and an answer that may be nginx's own."""
    connector = options.pop("connector", None)
    async with (
        aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http,
        http.request(method, nginx.url + path, **options) as answer,
    ):
        return Answer(method, path, answer.status, answer.headers, await answer.read())


def refusal(answer: Answer, status: int) -> str:
    """The code of what nginx says itself: only the name of the program differs from what a server would say."""
    answer.expecting(status)
    headers = {name: value for name, value in answer.headers.items() if name != "Server"}
    CONTRACT.check(answer.method, answer.path, status, {**headers, "Server": SAFETY["Server"]}, answer.body)
    return answer.code


async def logged(nginx: Nginx, request_id: str) -> dict[str, Any]:
    """nginx's line about a request; it is written when the request is over."""
    found: list[dict[str, Any]] = []

    async def is_there() -> bool:
        found[:] = [line for line in nginx.lines() if line["request_id"] == request_id]
        return bool(found)

    await happens(is_there, f"nginx's line about {request_id}")
    [line] = found
    return line


def test_the_lines_of_the_readme_work_through_it(stack: Stack, nginx: Nginx, program: Program) -> None:
    program("curl")
    session, printed = "", []

    for line in CURL.findall((ROOT / "README.md").read_text()):
        command = re.sub("<[^>]*>", session, line.replace("localhost:8080", f"127.0.0.1:{nginx.port}"))
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)
        printed.append(done.stdout)
        if "session_id" in done.stdout:
            session = msgspec.json.decode(done.stdout)["session_id"]

    register, login, me, logout = printed
    assert msgspec.json.decode(register)["user_name"] == "some user"
    assert msgspec.json.decode(me)["user_name"] == "some user"
    assert logout.endswith("200")


async def test_sockets_at_different_servers_hear_each_other_and_go_on_where_they_were(
    stack: Stack, nginx: Nginx
) -> None:
    async with people(nginx, 2) as (alice, bob):
        chat = await alice.opens_chat("lunch", members=[bob])
        ids = {"headers": {"X-Request-ID": "socket-of-alice"}}, {"headers": {"X-Request-ID": "socket-of-bob"}}

        async with alice.connects(**ids[0]) as first:
            async with bob.connects(**ids[1]) as second:
                cursor = second.ready["cursor"]
                await first.asks("new_message", chat_id=chat, text="pizza?")
                heard = await second.hears("new_message")
            await first.asks("new_message", chat_id=chat, text="or soup?")
            async with bob.connects(cursor=cursor) as again:
                missed = [(await again.hears("new_message"))["message"]["text"] for _ in range(2)]

    assert heard["message"]["text"] == "pizza?"
    assert missed == ["pizza?", "or soup?"]
    lines = [await logged(nginx, name) for name in ("socket-of-alice", "socket-of-bob")]
    assert {line["server"] for line in lines} == {f"127.0.0.1:{api.port}" for api in stack.apis}
    assert [line["status"] for line in lines] == [101, 101]


@pytest.mark.parametrize("form", ["sse", "ndjson", "poll"])
async def test_a_stream_brings_each_event_when_it_happens(stack: Stack, nginx: Nginx, form: Any) -> None:
    async with people(nginx, 2) as (alice, bob):
        chat = await alice.opens_chat("lunch", members=[bob])

        async with bob.streams(form) as stream:
            for text in ("one", "two"):
                await alice.post(f"/v1/chats/{chat}/messages", {"text": text})

                assert (await stream.hears("new_message"))["message"]["text"] == text


async def test_large_answers_are_compressed_for_who_can_read_that(stack: Stack, nginx: Nginx) -> None:
    small = await ask(nginx, "GET", "/ping", headers={"Accept-Encoding": "gzip"})
    large = await ask(nginx, "GET", "/swagger.yml", headers={"Accept-Encoding": "gzip"})
    plain = await ask(nginx, "GET", "/swagger.yml", headers={"Accept-Encoding": "identity"})

    assert "Content-Encoding" not in small.headers
    assert large.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert large.body == plain.body


class TestRequestIds:
    async def test_the_one_that_came_is_in_the_answer_and_in_both_logs(self, stack: Stack, nginx: Nginx) -> None:
        answer = await ask(nginx, "GET", "/v1/users/me?secret=1", headers={"X-Request-ID": "from-outside:1"})

        assert answer.expecting(401).json["request_id"] == answer.headers["X-Request-ID"] == "from-outside:1"
        line, own = await logged(nginx, "from-outside:1"), await stack.line("from-outside:1")
        assert (line["path"], line["status"]) == ("/v1/users/me", 401)
        assert (own["route"], own["status"]) == ("/v1/users/me", 401)
        assert "secret" not in nginx.said

    @pytest.mark.parametrize("offered", [{}, {"X-Request-ID": "two words"}, {"X-Request-ID": "a" * 129}])
    async def test_where_none_came_or_a_bad_one_nginx_makes_it(
        self, stack: Stack, nginx: Nginx, offered: dict[str, str]
    ) -> None:
        answer = await ask(nginx, "GET", "/v1/users/me", headers=offered)

        made = answer.json["request_id"]
        assert re.fullmatch("[0-9a-f]{32}", made)
        assert answer.headers["X-Request-ID"] == made
        assert (await logged(nginx, made))["status"] == 401
        assert (await stack.line(made))["status"] == 401

    async def test_postgresql_shows_whose_transaction_it_is(
        self, stack: Stack, nginx: Nginx, shared_database: str
    ) -> None:
        own, looking = [await asyncpg.connect(shared_database) for _ in range(2)]
        shown = "select count(*) from pg_stat_activity where application_name like 'messenger %:% who-waits'"

        async def is_shown() -> bool:
            return bool(await looking.fetchval(shown))

        async with people(nginx, 1) as [alice]:
            chat = await alice.opens_chat("lunch")
            async with own.transaction():
                await own.execute("select from chats where id = $1 for update", int(chat))
                renaming = asyncio.create_task(
                    alice.asks("PATCH", f"/v1/chats/{chat}", {"name": "tea"}, headers={"X-Request-ID": "who-waits"})
                )
                await happens(is_shown, "the waiting transaction")
            renamed = await renaming

        assert renamed.status == 200
        assert not await is_shown()
        await own.close()
        await looking.close()


class TestAddresses:
    async def test_the_client_counts_and_not_what_it_says_of_itself(
        self, stack: Stack, nginx: Nginx, shared_database: str
    ) -> None:
        body = {"user_name": f"person {next(NUMBERS)}", "password": "correct horse"}
        lies = {"X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6", "Forwarded": "for=6.6.6.6"}

        answer = await ask(
            nginx, "POST", "/v1/auth/register",
            json=body, headers={**lies, "X-Request-ID": "from-five"},
            connector=aiohttp.TCPConnector(local_addr=("127.0.0.5", 0)),
        )  # fmt: skip

        assert answer.status == 201
        assert (await logged(nginx, "from-five"))["address"] == "127.0.0.5"
        assert (await stack.line("from-five"))["address"] == "127.0.0.5"


class TestRefusals:
    async def test_a_body_that_is_too_large(self, stack: Stack, nginx: Nginx) -> None:
        answer = await ask(nginx, "POST", "/v1/auth/login", data=b"x" * 70_000)

        assert refusal(answer, 413) == "too-large"

    async def test_an_address_that_is_too_long(self, stack: Stack, nginx: Nginx) -> None:
        assert refusal(await ask(nginx, "GET", "/ping?" + "a" * 9000), 414) == "uri-too-long"

    async def test_a_header_that_is_too_large(self, stack: Stack, nginx: Nginx) -> None:
        answer = await ask(nginx, "GET", "/ping", headers={"X-Large": "a" * 9000})

        assert refusal(answer, 431) == "headers-too-large"

    @pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/%6detrics", "/x/../metrics"])
    async def test_metrics_are_not_for_the_outside(self, stack: Stack, nginx: Nginx, path: str) -> None:
        inside = await ask(nginx, "GET", "/ping")

        answer = await raw(nginx, path)

        assert inside.status == 200
        assert b" 404 " in answer.splitlines()[0]
        assert b'"code":"not-found"' in answer

    async def test_no_server_at_all(self, stack: Stack, nginx: Nginx) -> None:
        for api in stack.apis:
            api.kill()

        answer = await ask(nginx, "GET", "/v1/users/me", headers={"X-Request-ID": "to-nobody"})
        keyed = await ask(nginx, "POST", "/v1/chats/1/messages", json={}, headers={"Idempotency-Key": "once"})

        assert refusal(keyed, 502) == refusal(answer, 502) == "bad-gateway"
        assert (answer.headers["Retry-After"], answer.json["request_id"]) == ("1", "to-nobody")

    async def test_servers_that_do_not_answer(self, stack: Stack) -> None:
        async with stack.behind({"proxy_read_timeout 20s;": "proxy_read_timeout 1s;"}) as nginx:
            with frozen([one for api in stack.apis if api.popen for one in family(psutil.Process(api.popen.pid))]):
                answer = await ask(nginx, "POST", "/v1/auth/login", json={})

        assert refusal(answer, 504) == "gateway-timeout"
        assert answer.headers["Retry-After"] == "1"


async def raw(nginx: Nginx, path: str) -> bytes:
    """The path as it is written here, which no client would do."""
    reader, writer = await asyncio.open_connection("127.0.0.1", nginx.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    said = await reader.read()
    writer.close()
    return said


class TestServersThatGo:
    async def test_one_that_is_killed_is_missed_by_nobody(self, stack: Stack, nginx: Nginx) -> None:
        async with people(nginx, 1) as [alice]:
            chat = await alice.opens_chat("lunch")
            stack.apis[0].kill()

            for number in range(10):
                key = {"Idempotency-Key": str(number)}  # the first may be on its way while nginx learns of the kill
                answer = await alice.post(f"/v1/chats/{chat}/messages", {"text": f"{number}"}, headers=key)
                assert answer.status == 201

    @pytest.mark.parametrize(
        ("headers", "status"), [({"Idempotency-Key": "once"}, 201), ({}, 502)], ids=["with a key", "without"]
    )
    async def test_a_send_that_one_may_have_done_goes_on_only_with_its_key(
        self, stack: Stack, nginx: Nginx, headers: dict[str, str], status: int
    ) -> None:
        async with people(nginx, 1) as [alice]:
            chat = await alice.opens_chat("lunch")
            path = f"/v1/chats/{chat}/messages"

            # Whoever gets it is killed while it is stopped, and the other one is let go.
            with frozen([one for api in stack.apis for one in api.workers()]):
                sending = asyncio.create_task(
                    ask(nginx, "POST", path, json={"text": "pizza?"}, headers={**alice.headers, **headers})
                )
                taker = await self.taker(stack)
                stack.apis[taker].kill()
            answer = await sending
            await stack.stands()
            stored = (await alice.get(f"{path}?limit=10")).json["messages"]

        assert answer.status == status
        assert [one["text"] for one in stored] == ["pizza?"] * (status == 201)

    async def taker(self, stack: Stack) -> int:
        """Which server's worker has bytes to read that it has not read."""

        async def is_taken() -> bool:
            return bool(self.waiting(stack))

        await happens(is_taken, "the request at one of the servers")
        return self.waiting(stack)[0]

    @staticmethod
    def waiting(stack: Stack) -> list[int]:
        """/proc/net/tcp: local address and port, state 01 (established), queues of what is unsent and unread."""
        ports = {f"{api.port:04X}": number for number, api in enumerate(stack.apis)}
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return [
            ports[row[1].rpartition(":")[2]]
            for row in rows
            if row[1].rpartition(":")[2] in ports and row[3] == "01" and int(row[4].rpartition(":")[2], 16) > 0
        ]


class TestThrottling:
    async def test_thirteen_quick_sends_of_one_person(self, stack: Stack) -> None:
        async with stack.behind(NGINX_THROTTLING="1") as nginx, people(nginx, 2) as (alice, bob):
            chat = await alice.opens_chat("lunch", members=[bob])
            path = f"/v1/chats/{chat}/messages"

            keys = [{"Idempotency-Key": str(number)} if number % 2 else {} for number in range(13)]
            sent = [await ask(nginx, "POST", path, json={"text": "spam"}, headers=alice.headers | key) for key in keys]
            of_bob = await ask(nginx, "POST", path, json={"text": "stop it"}, headers=bob.headers)

        refused = [answer for answer in sent if answer.status != 201]
        assert 10 <= len(sent) - len(refused) < 13
        for answer in refused:
            assert refusal(answer, 429) == "request-limit-exceeded"
            assert answer.headers["Retry-After"] == "1"
        assert of_bob.status == 201

    async def test_without_it_nginx_lets_everything_pass(self, stack: Stack, nginx: Nginx) -> None:
        async with people(nginx, 1) as [alice]:
            chat = await alice.opens_chat("lunch")

            for _ in range(13):
                (await alice.post(f"/v1/chats/{chat}/messages", {"text": "spam"})).expecting(201)


class TestTls:
    async def test_requests_and_sockets_over_tls(self, stack: Stack, nginx: Nginx) -> None:
        context = trusting(stack.certificates)
        async with people(nginx, 1) as [alice], aiohttp.ClientSession() as http:
            url = f"https://127.0.0.1:{nginx.tls_port}"

            async with http.get(f"{url}/v1/users/me", headers=alice.headers, ssl=context) as answer:
                status, hsts = answer.status, answer.headers.get("Strict-Transport-Security")
            async with http.ws_connect(f"{url}/v1/ws", headers=alice.headers, ssl=context) as socket:
                hello = await socket.receive_json()

        assert (status, hsts) == (200, "max-age=31536000")
        assert hello["type"] == "hello"

    async def test_http_2_and_nothing_older_than_tls_1_2(self, stack: Stack, nginx: Nginx, program: Program) -> None:
        curl, url = program("curl"), f"https://127.0.0.1:{nginx.tls_port}/ping"
        shared = [curl, "-sS", "--cacert", str(stack.certificates / "fullchain.pem"), "-o", "/dev/null"]

        new = await run(*shared, "-w", "%{http_version}", "--http2", url)
        old = await run(*shared, "--tls-max", "1.1", url)

        assert new == (0, "2")
        assert old[0] == 35


async def run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=subprocess.DEVNULL)
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_the_second_port_serves_as_the_first(stack: Stack, nginx: Nginx) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{nginx.other_port}/ping") as answer,
    ):
        assert answer.status == 200


async def test_a_connection_of_the_pooler_has_the_limits_of_a_direct_one(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.pooled, statement_cache_size=0)

    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "timezone")
    found = [await connection.fetchval(f"show {name}") for name in names]
    await connection.close()

    assert found == ["5s", "2s", "10s", "UTC"]


class TestDoctor:
    """It looks at what is between people and the servers."""

    NAMES = frozenset({"proxy", "metrics", "sockets", "streams"})
    # What people forget in the files that they write themselves.
    POOR = {
        "~*^websocket$ websocket;": '~*^websocket$ "";',
        "proxy_buffering off;": "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;",
        "gzip_types application/json": "gzip_types text/event-stream application/json",
        "proxy_set_header X-Request-ID $messenger_request_id;": "proxy_set_header X-Request-ID $request_id;",
        "location ~ ^/metrics/?$ {": "location = /nothing {",
    }

    async def test_it_finds_nothing_to_say_of_ours_and_all_that_is_missing_in_a_poor_one(
        self, stack: Stack, nginx: Nginx, shared_database: str, tmp_path: Path
    ) -> None:
        async with people(nginx, 1) as [alice], stack.behind(self.POOR) as poor:
            (tmp_path / "session").write_text(alice.credentials["session_id"])

            of_ours, of_poor = [await self.faults(one, shared_database, tmp_path) for one in (nginx, poor)]

        assert of_ours == set()
        assert of_poor == self.NAMES

    async def faults(self, nginx: Nginx, dsn: str, folder: Path) -> set[str]:
        done = await asyncio.to_thread(
            run_admin, "doctor", "--json", "--url", nginx.url, "--session-file", "session",
            folder=folder, DATABASE_URL=dsn,
        )  # fmt: skip
        checks = {one["name"]: one["ok"] for one in msgspec.json.decode(done.stdout)["checks"]}
        assert checks.keys() >= self.NAMES
        return {name for name, ok in checks.items() if not ok} & self.NAMES


async def test_many_connections_of_the_pooler_are_few_of_the_database(stack: Stack) -> None:
    many = [await asyncpg.connect(stack.pooled, statement_cache_size=0) for _ in range(40)]

    processes = {await connection.fetchval("select pg_backend_pid()") for connection in many}

    assert len(processes) <= 20
    for connection in many:
        await connection.close()


async def test_nginx_leaves_when_it_is_told_to_and_nothing_stays(stack: Stack) -> None:
    async with stack.behind() as nginx:
        assert nginx.popen is not None
        all_of_it = family(psutil.Process(nginx.popen.pid))

        nginx.popen.send_signal(signal.SIGQUIT)

        _, alive = await asyncio.to_thread(psutil.wait_procs, all_of_it, timeout=20)
        assert alive == []
