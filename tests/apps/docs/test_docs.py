"""The docs work without any other server, say what is true of this one, and let people sign in."""

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
import yaml

from messenger.apps.docs import contract
from messenger.apps.docs.handlers import ASSETS, VENDORED
from messenger.errors import catalogue
from tests import vendored
from tests.actors import PASSWORD, Person

pytestmark = pytest.mark.shared


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    return getattr(request, "param", {})


class Links(HTMLParser):
    """What a browser would fetch for a page, and what would run without being fetched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.led_to: list[str] = []
        self.inline: list[str] = []
        self._in = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._in = tag
        if tag == "link" or "src" in given:
            self.fetched.append(given.get("src") or given["href"])
        if tag == "a":
            self.led_to.append(given["href"])
        self.inline += [name for name in given if name == "style" or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        if self._in in {"script", "style"} and data.strip():
            self.inline.append(data)


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/docs/errors", "/docs/errors/", "/docs/apps?a=/b/c"])
async def test_a_page_has_all_it_needs_on_board(nobody: Person, path: str) -> None:
    page = (await nobody.get(path)).expecting(200)
    links = Links(page.body.decode())

    assert len(links.fetched) >= 2
    for link in links.fetched:
        assert not link.startswith("/"), f"{link} is elsewhere where the server is below a path"
        asset = (await nobody.get(urljoin(path, link))).expecting(200)
        assert asset.body == ASSETS[link.rpartition("/")[2]].read_bytes()
    for link in {link for link in links.led_to if not link.startswith("#")}:
        assert not link.startswith("/"), f"{link} is elsewhere too"
        (await nobody.get(urljoin(path, link))).expecting(200)


async def test_nothing_on_the_pages_breaks_their_own_policy(nobody: Person) -> None:
    for path in ("/docs", "/docs/", "/docs/errors", "/docs/apps"):
        page = (await nobody.get(path)).expecting(200)
        policy = page.headers["Content-Security-Policy"]

        assert Links(page.body.decode()).inline == []
        assert "unsafe" not in policy and "http" not in policy and "*" not in policy
        assert "script-src 'self'" in policy and "frame-ancestors 'none'" in policy


async def test_a_page_is_fetched_once(nobody: Person) -> None:
    first = (await nobody.get("/docs/static/swagger-ui.css")).expecting(200)

    again = await nobody.get("/docs/static/swagger-ui.css", headers={"If-None-Match": first.headers["ETag"]})

    assert again.expecting(304).body == b""


async def test_only_what_belongs_to_the_page_is_served(nobody: Person) -> None:
    for path in ("/docs/static/SHA256SUMS", "/docs/static/..%2fhandlers.py", "/docs/static/", "/docs/elsewhere"):
        assert (await nobody.get(path)).expecting(404).code == "not-found"


def test_swagger_ui_is_exactly_what_its_makers_published() -> None:
    found = vendored.found(VENDORED)

    assert found == vendored.recorded(VENDORED)
    assert {"LICENSE", "NOTICE"} <= found.keys()


async def test_every_error_code_has_its_place_on_the_page(nobody: Person) -> None:
    page = unescape((await nobody.get("/docs/errors")).expecting(200).body.decode())

    for kind in catalogue():
        row = re.search(rf'<tr id="{kind.code}">.*?</tr>', page)
        assert row is not None, kind.code
        assert str(kind.status) in row[0] and f"{kind.title}." in row[0]


async def test_a_refusal_points_to_its_own_explanation(nobody: Person) -> None:
    problem = (await nobody.get("/nowhere")).expecting(404).json

    path, _, anchor = problem["type"].partition("#")

    assert f'id="{anchor}"' in (await nobody.get(path)).expecting(200).body.decode()


async def test_the_contract_is_served_as_it_was_written(nobody: Person) -> None:
    served = (await nobody.get("/swagger.yml")).expecting(200)

    assert served.body == contract.find("swagger.yml").read_bytes()


@pytest.mark.parametrize("settings", [{"APPS": "docs,health"}], indirect=True)
async def test_what_is_switched_off_is_no_part_of_the_contract(nobody: Person) -> None:
    served = yaml.safe_load((await nobody.get("/swagger.yml")).expecting(200).body)
    operations = [operation for item in served["paths"].values() for operation in item.values()]

    assert {operation["x-subapp"] for operation in operations} == {"docs", "health"}
    assert {tag["name"] for tag in served["tags"]} == {"docs", "health"}
    assert "Registration" not in served["components"]["schemas"]
    assert served["components"]["securitySchemes"] == {}
    assert "Problem" in served["components"]["schemas"]


@pytest.mark.parametrize("settings", [{"APPS": "docs,health"}], indirect=True)
async def test_the_table_of_sub_apps_is_that_of_this_server(nobody: Person) -> None:
    page = (await nobody.get("/docs/apps")).expecting(200).body.decode()

    assert re.findall(r"<tr><td>(\w+)</td><td>(\w+)</td>", page) == [("docs", "messenger"), ("health", "messenger")]


async def test_the_authorize_button_signs_people_in(alice: Person, nobody: Person) -> None:
    served = yaml.safe_load((await nobody.get("/swagger.yml")).body)
    flow = served["components"]["securitySchemes"]["password"]["flows"]["password"]

    # What Swagger UI sends for that flow: a form, and Basic credentials of a client that has no name.
    granted = await nobody.asks(
        "POST",
        urljoin("/swagger.yml", flow["tokenUrl"]),
        data={"grant_type": "password", "scope": "", "username": alice.name, "password": PASSWORD},
        headers={"Authorization": "Basic Og=="},
    )

    token = granted.expecting(200).json
    assert token["token_type"] == "bearer"
    nobody.headers = {"Authorization": f"Bearer {token['access_token']}"}
    assert (await nobody.get("/v1/users/me")).expecting(200).json["user_id"] == alice.user_id


def test_a_wheel_carries_the_contract_and_a_checkout_has_it_at_the_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert contract.find("swagger.yml") == Path(__file__).parents[3] / "swagger.yml"

    packaged = tmp_path / "contracts"
    packaged.mkdir()
    (packaged / "swagger.yml").write_text("openapi: 3.1.1")
    monkeypatch.setattr(contract, "PLACES", (packaged, tmp_path))

    assert contract.find("swagger.yml") == packaged / "swagger.yml"
    with pytest.raises(FileNotFoundError, match=r"asyncapi\.yml"):
        contract.find("asyncapi.yml")
