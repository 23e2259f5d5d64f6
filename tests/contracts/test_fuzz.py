"""Generated requests for every operation of swagger.yml against a running server, signed in and not.

Whatever is asked, the answer is one that the contract describes, and never our own failure. So that the good answers
are tried as well, a part of the requests is sensible: SENSIBLE says what that takes where the contract's own example
is not enough. FUZZ_CASES: how many requests per operation (`make fuzz`: 100, and other ones every time).
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from schemathesis import APIOperation, Case, GenerationMode

from messenger.app import create_app
from messenger.apps.client.assets import STATIC, Assets
from messenger.settings import Config
from messenger.subapp import Placed, SubApp, load
from messenger.web.access import public
from messenger.web.server import make_runner
from tests.actors import PASSWORD, Server
from tests.conftest import configured
from tests.contract import CONTRACT
from tests.sockets import UPGRADE

CASES = int(os.environ.get("FUZZ_CASES", "10"))
ENOUGH = 0.9  # of the operations must have succeeded at least once
REFUSED = 400
OUR_FAULT = 500
ENDLESS = {"text/event-stream", "application/x-ndjson"}
NUMBERS = count(1)


def session() -> requests.Session:
    """It looks for no proxies in the environment, which takes a fourth of a request."""
    made = requests.Session()
    made.trust_env = False
    return made


@dataclass
class Guest:
    """Somebody with an account made for the occasion; a new one whenever the old one has been signed out or deleted."""

    url: str
    http: requests.Session = field(default_factory=session)
    name: str = ""
    credentials: dict[str, Any] = field(default_factory=dict)
    place: str = ""

    def arrive(self) -> None:
        self.name, self.place = f"guest {next(NUMBERS)}", ""
        self._post("/v1/auth/register", user_name=self.name, password=PASSWORD)
        self.credentials = self._post("/v1/auth/login", user_name=self.name, password=PASSWORD)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"session_id {self.credentials['session_id']}"}

    def id_of_another_session(self) -> str:
        self._post("/v1/auth/login", user_name=self.name, password=PASSWORD)
        listed = self.http.get(f"{self.url}/v1/auth/sessions", headers=self.headers).json()["sessions"]
        return str(next(one["id"] for one in listed if not one["current"]))

    def somebody_new(self) -> str:
        return str(self._post("/v1/auth/register", user_name=f"new {next(NUMBERS)}", password=PASSWORD)["user_id"])

    def chat(self) -> str:
        self.place = str(self._post("/v1/chats", self.headers, chat_name="fuzz")["chat_id"])
        return self.place

    def message(self) -> str:
        """In the chat that was made last."""
        place = self.place or self.chat()
        return str(self._post(f"/v1/chats/{place}/messages", self.headers, text="pizza?")["message_id"])

    def search(self) -> str:
        return str(self._post("/v1/chats/search", self.headers, message="pizza")["task_id"])

    def group(self) -> str:
        return str(self._post("/v1/groups", self.headers, name="fuzz", participant_user_ids=[])["group_id"])

    def _post(self, path: str, headers: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
        self.http.cookies.clear()
        answer = self.http.post(self.url + path, json=body, headers=headers)
        answer.raise_for_status()
        self.http.cookies.clear()
        return dict(answer.json())


SENSIBLE: dict[str, Callable[[Guest], dict[str, Any]]] = {
    "register": lambda guest: {"user_name": f"new {next(NUMBERS)}", "password": PASSWORD},
    "login": lambda guest: {"user_name": guest.name, "password": PASSWORD},
    "issueToken": lambda guest: {"username": guest.name, "password": PASSWORD},
    "refresh": lambda guest: {"refresh_token": guest.credentials["refresh_token"]},
    "changePassword": lambda guest: {"current_password": PASSWORD, "new_password": PASSWORD},
    "addMembers": lambda guest: {"user_ids": [guest.somebody_new()]},
    "changeRole": lambda guest: {"role": "owner"},
    "markChatRead": lambda guest: {"message_id": guest.message()},
    "createGroup": lambda guest: {"name": "fuzz", "participant_user_ids": [guest.somebody_new()]},
    "classicRegister": lambda guest: {"email": f"new{next(NUMBERS)}@test.com", "password": PASSWORD},
    "classicLogin": lambda guest: {"email": guest.name, "password": PASSWORD},
    "classicGroup": lambda guest: {"name": "fuzz", "participant_user_ids": [int(guest.somebody_new())]},
}
PARAMETERS: dict[str, Callable[[Guest], dict[str, Any]]] = {
    "listMessages": lambda guest: {"query": {"limit": 10}},
    "fetchSearch": lambda guest: {"query": {"limit": 10}},
    "search": lambda guest: {"query": {"q": "pizza"}},
    **dict.fromkeys(
        ("openSocket", "classicChatsSocket", "classicChatSocket"), lambda guest: {"headers": dict(UPGRADE)}
    ),
}
PLACES: dict[str, Callable[[Guest], str]] = {
    "user_id": lambda guest: str(guest.credentials["user_id"]),
    "session_id": Guest.id_of_another_session,
    "chat_id": Guest.chat,
    "group_id": Guest.group,
    "name": lambda guest: "docs.js",
    "version": lambda guest: Assets.read(STATIC).version,
    "path": lambda guest: "app.js",
    "message_id": Guest.message,
    "task_id": Guest.search,
    "emoji": lambda guest: "👍",
}


def operations(of: str) -> Iterator[APIOperation]:
    for found in schemathesis.openapi.from_dict(CONTRACT.document).get_all_operations():
        operation = found.ok()
        if operation.definition.raw["x-subapp"] == of:
            yield operation


def attack(operation: APIOperation, guest: Guest) -> bool:
    """Send the generated cases; say whether one of them succeeded."""
    statuses: set[int] = set()

    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        derandomize="FUZZ_CASES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def one(data: st.DataObject) -> None:
        manner = data.draw(st.sampled_from(manners(operation)))
        case = sensible(operation, guest) if manner is None else data.draw(operation.as_strategy(manner))
        statuses.add(ask(case, data.draw(st.sampled_from([guest, guest, None]))))

    one()
    statuses.add(ask(sensible(operation, guest), guest))
    return any(status < requests.codes.multiple_choices for status in statuses)


def manners(operation: APIOperation) -> list[GenerationMode | None]:
    """As described, against the description, sensible. Where nothing can be said, nothing can be said wrongly."""
    if not operation.body and not list(operation.iter_parameters()):
        return [None]
    return [GenerationMode.POSITIVE, GenerationMode.NEGATIVE, None]


def sensible(operation: APIOperation, guest: Guest) -> Case:
    name = operation.definition.raw["operationId"]
    places = {one.name: PLACES[one.name](guest) for one in operation.path_parameters}
    more = PARAMETERS[name](guest) if name in PARAMETERS else {}
    if not operation.body:
        return operation.Case(path_parameters=places, **more)
    media, described = next(iter(operation.definition.raw["requestBody"]["content"].items()))
    body = SENSIBLE[name](guest) if name in SENSIBLE else CONTRACT.inlined(described)["schema"]["examples"][0]
    return operation.Case(path_parameters=places, body=body, media_type=media)


def ask(case: Case, guest: Guest | None) -> int:
    if str((case.query or {}).get("wait", "")).isdigit():
        case.query["wait"] = 0  # nothing is going to happen
    sent = case.as_transport_kwargs(base_url=case.operation.base_url, headers=guest.headers if guest else {})
    with session() as http, http.request(**sent, stream=True) as answer:
        headers, status = CIMultiDict(answer.headers), answer.status_code
        body = b"" if headers.get("Content-Type", "").partition(";")[0] in ENDLESS else answer.content
    try:
        assert status < OUR_FAULT, f"our fault: {body[:300]!r}"
        CONTRACT.check(case.method.upper(), case.operation.path, status, headers, body)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{case.as_curl_command(headers=guest.headers if guest else {})}") from None
    if guest is not None and status < REFUSED and case.method.upper() != "GET" and not is_welcome(guest):
        guest.arrive()  # it has signed out, or is no more
    return status


def is_welcome(guest: Guest) -> bool:
    return guest.http.get(f"{guest.url}/v1/users/me", headers=guest.headers).status_code == requests.codes.ok


def attack_all(url: str, subapp: str) -> dict[str, bool]:
    guest = Guest(url)
    guest.arrive()
    found = {}
    with guest.http:
        for operation in operations(subapp):
            operation.base_url = url
            found[operation.label] = attack(operation, guest)
    return found


# The server, in a thread of this process, draws from `random` whenever it likes: no strategy does.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.parametrize("subapp", Config().apps)
async def test_whatever_is_asked_the_answer_is_one_that_is_described(
    start: Callable[..., Awaitable[Server]], subapp: str
) -> None:
    # Guessing passwords is what this test does all the time.
    server = await start(LOGIN_TRIES="1000000", LOGIN_TRIES_PER_ADDRESS="1000000", LOG_LEVEL="ERROR")

    succeeded = await asyncio.to_thread(attack_all, server.url, subapp)

    failed = [label for label, good in succeeded.items() if not good]
    assert len(failed) <= (1 - ENOUGH) * len(succeeded), f"never succeeded: {failed}"


@public
async def crash(request: web.Request) -> web.Response:
    raise ZeroDivisionError


@public
async def lie(request: web.Request) -> web.Response:
    return web.json_response({"message": "pong", "and": "more"}, headers={"Cache-Control": "no-store"})


@pytest.mark.parametrize(
    ("answer", "complaint"), [(crash, "our fault.*internal"), (lie, "body: Additional properties")]
)
async def test_a_server_that_crashes_or_says_something_else_is_found_out(
    dsn: str, tmp_path: Path, answer: Callable[[web.Request], Awaitable[web.Response]], complaint: str
) -> None:
    broken = SubApp("health", routes=[web.get(path, answer) for path in ("/ping", "/healthz", "/ping_db", "/readyz")])
    config = configured(tmp_path, {"APPS": "auth"})
    app = create_app(config, dsn, placed=[Placed(broken, "a test"), *load(config.apps)])

    async with Server.running(make_runner(app)) as server:
        with pytest.raises(AssertionError, match=complaint):
            await asyncio.to_thread(attack_all, server.url, "health")
