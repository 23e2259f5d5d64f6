"""Closed by default, and nothing strange in a path or a query gets further than a refusal: asked of every operation."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from yarl import URL

from tests.actors import Person
from tests.contract import CONTRACT

pytestmark = pytest.mark.shared

Operation = tuple[str, str]
DOCUMENT = CONTRACT.document

# No id of anything: not a number, beyond every number, or nobody's yet.
NO_IDS = (
    "0",
    "-1",
    "abc",
    "1.5",
    "1e3",
    "%20",
    "٣",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "9" * 40,
)
MIGHT_BE = "2147483648"
# They tell a person who is not in a chat so, also where there is none: of an id that might be one.
TELLING = {("GET", "/history/{chat_id}"), ("POST", "/messages/group/{group_id}")}
ENDS = {("POST", "/v1/auth/logout"), ("DELETE", "/v1/users/me")}  # nothing could be asked any more
NO_LIMITS = ("limit=0", "limit=-1", "limit=abc", "limit=1000000000", "limit=", "limit=1.0", "limit=1&limit=2")


def operations(closed: bool) -> list[Operation]:
    return sorted(
        (method, path)
        for method, path in CONTRACT.operations
        if bool(described(method, path).get("security", DOCUMENT["security"])) is closed
    )


def described(method: str, path: str) -> dict[str, Any]:
    return DOCUMENT["paths"][path][method.lower()]


def filled(path: str, value: str = "1") -> str:
    return re.sub(r"\{[^}]+\}", value, path)


def example(method: str, path: str) -> Any:
    """A body that only the id can be the fault of."""
    body = described(method, path).get("requestBody")
    return next(iter(CONTRACT.inlined(body)["content"].values()))["schema"]["examples"][0] if body else {}


def has_example(parameter: dict[str, Any]) -> bool:
    """So has every query parameter without which its operation refuses."""
    return parameter["in"] == "query" and "example" in parameter


async def test_every_closed_operation_is_closed(nobody: Person) -> None:
    assert len(operations(closed=True)) >= 11
    for method, path in operations(closed=True):
        answer = await nobody.asks(method, filled(path))

        assert answer.expecting(401).code == "auth-failed", f"{method} {path}"


async def test_a_bad_credential_opens_nothing(nobody: Person) -> None:
    for credential in ("session_id " + "0" * 32, "Bearer a.b.c", "Basic Og==", "session_id", ""):
        for method, path in operations(closed=True):
            answer = await nobody.asks(method, filled(path), headers={"Authorization": credential})

            assert answer.status == 401, f"{method} {path} with {credential!r}"


# Of `/v1/chats/1`, say: other letters for the same path, and paths that only look like it.
SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda path: path + "/",
    lambda path: f"/.{path}",
    lambda path: f"/elsewhere/..{path}",
    lambda path: f"/{path}",
    lambda path: path + ";a=b",
    lambda path: f"/%{ord(path[1]):x}{path[2:]}",
    lambda path: path.replace("/", "%2f").replace("%2f", "/", 1),
    str.upper,
)


async def test_no_other_spelling_of_a_closed_path_opens_it(nobody: Person) -> None:
    for method, path in operations(closed=True):
        for spelled in SPELLINGS:
            asked = URL(nobody.server.url + spelled(filled(path)), encoded=True)
            for way in {method, "HEAD"} if method == "GET" else {method}:
                async with nobody.http.request(way, asked) as answer:
                    assert answer.status in {401, 404, 405}, f"{way} {asked}: {answer.status}"


async def test_what_a_closed_operation_answers_is_kept_for_nobody_else(nobody: Person, alice: Person) -> None:
    for who in (nobody, alice):
        for method, path in operations(closed=True):
            if (method, path) in ENDS:
                continue
            headers = (await who.asks(method, filled(path), example(method, path))).headers

            assert headers.get("Cache-Control") in {"private, no-cache", "no-store"}, f"{method} {path}"
            assert {"Authorization", "Cookie"} <= set(headers["Vary"].split(", ")), f"{method} {path}"


async def test_what_is_unknown_under_v1_is_closed_too_and_elsewhere_is_not_there(nobody: Person) -> None:
    assert (await nobody.get("/v1/nowhere")).expecting(401).code == "auth-failed"
    assert (await nobody.get("/v1")).expecting(401).code == "auth-failed"
    assert (await nobody.get("/nowhere")).expecting(404).code == "not-found"


async def test_every_open_operation_asks_nobody_who_he_is(nobody: Person) -> None:
    for method, path in operations(closed=False):
        answer = await nobody.asks(method, filled(path))

        assert answer.status not in {401, 403}, f"{method} {path}"


async def test_a_method_that_a_path_lacks_is_refused_with_those_it_has(alice: Person) -> None:
    for path, item in DOCUMENT["paths"].items():
        lacking = next(method for method in ("put", "delete", "patch") if method not in item)
        answer = await alice.asks(lacking.upper(), filled(path))

        assert answer.expecting(405).code == "method-not-allowed"
        assert {method.upper() for method in item} <= set(re.split(", ?", answer.headers["Allow"])), path


async def test_an_id_that_cannot_exist_is_one_that_does_not(alice: Person) -> None:
    asked = 0
    for method, path in sorted(CONTRACT.operations):
        parameters = CONTRACT.inlined(described(method, path).get("parameters", []))
        if not any(one["in"] == "path" and "pattern" in one["schema"] for one in parameters):
            continue
        if "101" in described(method, path)["responses"]:
            continue  # says so on the socket, by its close code
        for value in NO_IDS:
            query = "".join(f"?{one['name']}={one['example']}" for one in parameters if has_example(one))
            answer = await alice.asks(method, filled(path, value) + query, example(method, path))
            expected = 403 if value == MIGHT_BE and (method, path) in TELLING else 404
            assert answer.status == expected, f"{method} {path} with {value}: {answer.status}"
            asked += 1
    assert asked >= 2 * len(NO_IDS)


@pytest.mark.parametrize("query", NO_LIMITS)
async def test_a_limit_that_is_none_is_refused_by_name(alice: Person, query: str) -> None:
    asked = 0
    for method, path in sorted(CONTRACT.operations):
        if any(one["name"] == "limit" for one in CONTRACT.inlined(described(method, path).get("parameters", []))):
            problem = (await alice.asks(method, f"{filled(path)}?{query}")).expecting(400).json
            assert (problem["code"], problem["errors"][0]["pointer"]) == ("bad-parameters", "limit")
            asked += 1
    assert asked
