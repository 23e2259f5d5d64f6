"""Every sub-app can be left out, the order of those that stay is one, and strangers' sub-apps come by the same door."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from messenger.app import create_app
from messenger.settings import Config
from messenger.subapp import ArrangementError, Placed, SubApp, arrange, load
from messenger.web.access import public
from messenger.web.server import make_runner
from tests.actors import Person, Server
from tests.conftest import configured
from tests.contract import CONTRACT
from tests.contracts.test_access import described, filled, has_example

EVERYTHING = Config().apps
NOWHERE = "postgresql://nobody@localhost:1/nowhere"
Start = Callable[..., Awaitable[Server]]


def operations(of: str) -> list[tuple[str, str]]:
    paths = CONTRACT.document["paths"]
    return sorted(
        (method, path) for method, path in CONTRACT.operations if paths[path][method.lower()]["x-subapp"] == of
    )


def requiring(name: str) -> set[str]:
    """It and all that cannot do without it."""
    found = {name}
    for one in load(EVERYTHING):  # each behind what it requires
        if found & set(one.app.requires):
            found.add(one.app.name)
    return found


@pytest.mark.parametrize("off", EVERYTHING)
async def test_a_sub_app_that_is_left_out_is_gone_and_the_others_work(start: Start, off: str) -> None:
    without = requiring(off)
    if len(without) > 1:
        with pytest.raises(ArrangementError, match=f"sub-app {off}, which is not in APPS"):
            load([name for name in EVERYTHING if name != off])
    if off == "auth":
        return  # nobody could sign in to ask for more
    names = [name for name in EVERYTHING if name not in without]

    server = await start(APPS=",".join(names))

    async with Person.stranger(server) as person:
        if "auth" in names:
            await person.registers("alice")
            await person.signs_in()
            (await person.get("/v1/users/me")).expecting(200)
        for method, path in [operation for name in without for operation in operations(name)]:
            assert (await person.asks(method, filled(path))).status == 404, f"{method} {path}"
        for name in names:
            for method, path in operations(name):
                if "101" in CONTRACT.document["paths"][path][method.lower()]["responses"]:
                    async with person.http.ws_connect(server.url + filled(path), headers=person.headers):
                        pass
                elif method == "GET" and "{" not in path:
                    parameters = CONTRACT.inlined(described(method, path).get("parameters", []))
                    query = {one["name"]: one["example"] for one in parameters if has_example(one)}
                    assert (await person.get(path, params=query)).status == 200, path


# --- one order ---


def placed(name: str, **facts: object) -> Placed:
    return Placed(SubApp(name, **facts), "a test")  # type: ignore[arg-type]


def order(*apps: Placed) -> list[str]:
    return [one.app.name for one in arrange(apps)]


def test_a_sub_app_starts_behind_what_it_requires() -> None:
    chats, auth = placed("chats", requires=["auth"]), placed("auth")
    messages = placed("messages", requires=["auth", "chats"])

    assert order(messages, chats, auth) == ["auth", "chats", "messages"]


def test_a_sub_app_starts_behind_what_it_only_follows_where_that_is_enabled() -> None:
    throttling, auth = placed("throttling", after=["auth"]), placed("auth")

    assert order(throttling, auth) == ["auth", "throttling"]
    assert order(throttling) == ["throttling"]


def test_without_a_reason_the_order_is_that_of_the_list() -> None:
    assert order(placed("c"), placed("a"), placed("b")) == ["c", "a", "b"]


def test_a_missing_requirement_names_all_who_need_it_and_the_remedy() -> None:
    chats, messages = placed("chats", requires=["auth"]), placed("messages", requires=["chats"])

    with pytest.raises(ArrangementError) as refusal:
        arrange([chats, messages])

    assert str(refusal.value) == (
        "chats, messages require the sub-app auth, which is not in APPS: add auth to APPS or leave them out; "
        "to run without sign-in keep auth and set AUTH_DISABLED=true."
    )


def test_a_circle_prints_its_path() -> None:
    with pytest.raises(ArrangementError, match=r"circle: (\w+ -> ){2}\w+") as refusal:
        arrange([placed("a", requires=["b"]), placed("b", requires=["a"])])

    path = str(refusal.value).rstrip(".").partition(": ")[2].split(" -> ")
    assert path[0] == path[-1]
    assert set(path) == {"a", "b"}


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ArrangementError, match=r"APPS names 'chat', which is not installed") as refusal:
        load(["chat"])

    assert all(name in str(refusal.value) for name in EVERYTHING)


async def test_start_stop_and_middlewares_follow_one_order(tmp_path: Path) -> None:
    told: list[str] = []

    def telling(name: str, **facts: object) -> Placed:
        async def context(app: web.Application) -> AsyncIterator[None]:
            told.append(f"{name} starts")
            yield
            told.append(f"{name} stops")

        return placed(name, contexts=[context], middlewares=[passing(name)], **facts)

    def passing(name: str) -> Middleware:
        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            told.append(f"through {name}")
            return await handler(request)

        return middleware

    @public
    async def answer(request: web.Request) -> web.Response:
        return web.Response()

    apps = arrange(
        [telling("first"), telling("last", requires=["middle"], routes=[web.get("/", answer)]), telling("middle")]
    )
    root = create_app(configured(tmp_path, {}), NOWHERE, placed=apps)

    async with Server.running(make_runner(root)) as server, Person.stranger(server) as person:
        async with person.http.get(server.url) as response:
            assert response.status == 200

    assert told == [
        *("first starts", "middle starts", "last starts"),
        *("through first", "through middle", "through last"),
        *("last stops", "middle stops", "first stops"),
    ]


# --- strangers ---

EXAMPLE = Path(__file__).parents[1] / "example_app"
# Its own process, since the packages of this one are as they were when it started.
VISIT = """
import asyncio, json, sys
from pathlib import Path

import aiohttp

from messenger.app import create_app
from messenger.settings import read
from messenger.subapp import load
from messenger.web.server import make_runner
from tests.actors import Server

async def main(apps, folder):
    config = read({"APPS": apps, "DATA_DIR": folder})
    placed = load(config.apps)
    runner = make_runner(create_app(config, "postgresql://nobody@localhost:1/nowhere", placed=placed))
    async with Server.running(runner) as server, aiohttp.ClientSession() as http:
        async with http.get(server.url + "/greetings/Ann") as answer:
            said = [answer.status, await answer.json(content_type=None)]
    return {
        "imported": sorted(sys.modules.keys() & {"messenger_greetings", "messenger.apps.auth", "prometheus_client"}),
        "origins": {one.app.name: one.origin for one in placed},
        "said": said,
    }

print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages into which a stranger's sub-app was really installed."""
    source, target = tmp_path_factory.mktemp("source") / "example", tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, source)  # a build leaves its rests beside the source
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    return target


def visit(site: Path, apps: str, folder: Path) -> dict:
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{EXAMPLE.parents[1]}"}
    command = [sys.executable, "-c", VISIT, apps, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_strangers_sub_app_is_mounted_by_its_name(site: Path, tmp_path: Path) -> None:
    found = visit(site, "health,greetings", tmp_path)

    assert found["said"] == [200, {"greeting": "Hello, Ann!"}]
    assert found["origins"] == {"health": "messenger", "greetings": "messenger-greetings"}


def test_what_is_installed_or_ours_and_not_listed_is_not_imported(site: Path, tmp_path: Path) -> None:
    found = visit(site, "health", tmp_path)

    assert found["imported"] == []
    assert found["said"][0] == 404
