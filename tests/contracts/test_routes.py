"""What the server serves and what swagger.yml describes are the same list, whatever is switched off."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from aiohttp import web

from messenger.app import create_app
from messenger.apps.docs import contract
from messenger.settings import Config
from messenger.subapp import load
from tests.conftest import configured
from tests.contract import CONTRACT, METHODS
from tests.contracts.test_toggles import requiring

Operation = tuple[str, str]
NOWHERE = "postgresql://nobody@localhost:1/nowhere"  # an application is put together without asking the database
EVERYTHING = Config().apps


def served(app: web.Application) -> set[Operation]:
    found = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None}
    return {(method, path) for method, path in found if method != "HEAD"}  # every GET answers HEAD as well


def described(document: dict) -> set[Operation]:
    return {(method.upper(), path) for path, item in document["paths"].items() for method in item if method in METHODS}


def differences(routes: Iterable[Operation], operations: Iterable[Operation]) -> list[str]:
    routes, operations = set(routes), set(operations)
    return sorted(
        [f"{method} {path} is served and not described" for method, path in routes - operations]
        + [f"{method} {path} is described and not served" for method, path in operations - routes]
    )


def application(folder: Path, names: Iterable[str]) -> web.Application:
    return create_app(configured(folder, {"APPS": ",".join(names)}), NOWHERE)


def test_every_route_is_described_and_every_description_served(tmp_path: Path) -> None:
    assert differences(served(application(tmp_path, EVERYTHING)), CONTRACT.operations) == []


@pytest.mark.parametrize("off", EVERYTHING)
def test_a_sub_app_takes_its_routes_and_their_description_with_it(tmp_path: Path, off: str) -> None:
    without = requiring(off)
    names = [name for name in EVERYTHING if name not in without]

    left = contract.parse(contract.served("swagger.yml", frozenset(names)))

    paths = CONTRACT.document["paths"]
    own = {(method, path) for method, path in CONTRACT.operations if paths[path][method.lower()]["x-subapp"] in without}
    assert described(left) == CONTRACT.operations - own
    assert differences(served(application(tmp_path, names)), described(left)) == []


def test_every_operation_says_whose_it_is_and_has_a_name_of_its_own() -> None:
    operations = [operation for item in CONTRACT.document["paths"].values() for operation in item.values()]

    assert {operation["x-subapp"] for operation in operations} == {
        one.app.name for one in load(EVERYTHING) if list(one.app.routes)
    }
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))


def test_a_difference_in_either_direction_is_reported() -> None:
    routes = {("GET", "/ping"), ("GET", "/secret")}

    found = differences(routes, {("GET", "/ping"), ("PUT", "/ping")})

    assert found == ["GET /secret is served and not described", "PUT /ping is described and not served"]
