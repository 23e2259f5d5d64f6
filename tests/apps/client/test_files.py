"""The shell of the chat page: its files arrive right, in good time to be kept, and nothing else does."""

import gzip
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import brotli
import msgspec
import pytest

from messenger.apps.client.assets import STATIC, TEMPLATES, TYPES, Assets, reader
from tests.actors import Person, Server
from tests.apps.docs.test_docs import Links
from tests.people import present

pytestmark = pytest.mark.shared

ASSETS = Assets.read(STATIC)
PLACE = f"static/{ASSETS.version}"


async def test_the_page_has_all_it_needs_on_board_by_relative_addresses(nobody: Person) -> None:
    page = (await nobody.get("/")).expecting(200)
    links = Links(page.body.decode())

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert f"{PLACE}/app.js" in links.fetched
    assert links.inline == []
    for link in links.fetched:
        assert not link.startswith(("/", "http")), f"{link} would not be found below a path of a proxy"
        (await nobody.get(f"/{link}")).expecting(200)


async def test_every_file_has_its_type_and_is_kept_for_ever(nobody: Person) -> None:
    for path in STATIC.rglob("*"):
        name = path.relative_to(STATIC).as_posix()
        if path.suffix not in TYPES or name in TEMPLATES:
            continue
        answer = (await nobody.get(f"/{PLACE}/{name}")).expecting(200)

        assert answer.body == path.read_bytes()
        assert answer.headers["Content-Type"] == TYPES[path.suffix]
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


async def test_only_files_of_this_version_are_there(nobody: Person) -> None:
    for path in (
        "/static/0123456789abcdef/app.js",
        f"/{PLACE}/",
        f"/{PLACE}/index.html",
        f"/{PLACE}/nothing.js",
        f"/{PLACE}/..%2fassets.py",
        f"/{PLACE}/%2e%2e/assets.py",
        f"/{PLACE}/icons/%2e%2e/%2e%2e/assets.py",
        f"/{PLACE}//etc/passwd",
        f"/{PLACE}/%2fetc%2fpasswd",
        f"/{PLACE}/app.js%00.png",
    ):
        async with nobody.http.get(nobody.server.url + path) as answer:
            assert answer.status == 404, path


async def test_the_page_may_load_and_run_nothing_but_its_own(nobody: Person) -> None:
    for path in ("/", "/sw.js"):
        headers = (await nobody.get(path)).expecting(200).headers
        policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))

        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self' data: blob:",
            "connect-src": "'self'",
            "manifest-src": "'self'",
            "worker-src": "'self'",
            "font-src": "'none'",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
            "require-trusted-types-for": "'script'",
            "trusted-types": "messenger",
        }
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/sw.js", "/manifest.webmanifest", "/messenger.js", f"/{PLACE}/app.js"])
async def test_what_has_not_changed_is_not_sent_again(nobody: Person, path: str) -> None:
    first = (await nobody.get(path)).expecting(200)

    again = await nobody.get(path, headers={"If-None-Match": first.headers["ETag"]})
    other = await nobody.get(path, headers={"If-None-Match": 'W/"another"'})
    head = await nobody.asks("HEAD", path)

    assert again.expecting(304).body == b""
    assert other.expecting(200).body == first.body
    assert head.expecting(200).body == b""
    for answer in (again, head):
        assert answer.headers["ETag"] == first.headers["ETag"]
        assert answer.headers["Cache-Control"] == first.headers["Cache-Control"]
        assert answer.headers["Vary"] == "Accept-Encoding"
    if not path.startswith("/static"):
        assert first.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("br, gzip", "br"),
        ("gzip, deflate, BR;q=0.1", "br"),
        ("gzip, br;q=0", "gzip"),
        ("br;q=0.000, gzip; q=0.0", None),
        ("identity", None),
        ("", None),
    ],
)
async def test_a_file_comes_packed_as_asked(nobody: Person, accepted: str, coding: str | None) -> None:
    unpack = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}[coding]
    name = "sw.js"  # long enough, whatever else there is

    for _ in range(2):  # packed, and packed already
        async with nobody.http.get(
            f"{nobody.server.url}/{name}", headers={"Accept-Encoding": accepted}, auto_decompress=False
        ) as answer:
            assert answer.headers.get("Content-Encoding") == coding
            assert unpack(await answer.read()) == ASSETS.files[name].body


async def test_a_picture_is_not_packed_again(nobody: Person) -> None:
    answer = await nobody.get(f"/{PLACE}/icons/icon-192.png", headers={"Accept-Encoding": "br, gzip"})

    assert "Content-Encoding" not in answer.expecting(200).headers


async def test_the_manifest_has_icons_that_are_there(nobody: Person) -> None:
    said = (await nobody.get("/manifest.webmanifest")).expecting(200)
    manifest = msgspec.json.decode(said.body)

    assert said.headers["Content-Type"] == "application/manifest+json"
    assert (manifest["start_url"], manifest["scope"], manifest["display"]) == (".", ".", "standalone")
    assert {icon["sizes"] for icon in manifest["icons"]} == {"any", "192x192", "512x512"}
    assert [icon.get("purpose") for icon in manifest["icons"]].count("maskable") == 1
    for icon in manifest["icons"]:
        got = (await nobody.get(f"/{icon['src']}")).expecting(200)
        assert got.headers["Content-Type"] == icon["type"]


async def test_the_service_worker_keeps_every_file_of_this_version(nobody: Person) -> None:
    script = (await nobody.get("/sw.js")).expecting(200).body.decode()

    files = msgspec.json.decode(script.partition("const FILES = ")[2].partition(";")[0])

    assert sorted(files) == sorted(f"{PLACE}/{name}" for name in ASSETS.files if name not in TEMPLATES)
    assert "{static}" not in script


async def test_the_library_may_be_imported_from_everywhere(nobody: Person) -> None:
    got = (await nobody.get("/messenger.js", headers={"Origin": "https://elsewhere.example"})).expecting(200)

    assert got.headers["Access-Control-Allow-Origin"] == "*"
    assert got.body == (STATIC / "messenger.js").read_bytes()


async def test_the_page_knows_whether_anybody_can_sign_in(start: Callable[..., Awaitable[Server]]) -> None:
    server = await start(PASSWORD_MIN_LENGTH="9")
    async with Person.stranger(server) as nobody:
        before = (await nobody.get("/client.json")).expecting(200).json
        await nobody.registers("alice")

        async with present(await start(), "bob") as bob:
            after = (await bob.get("/client.json")).expecting(200).json

    assert (before["has_accounts"], before["password_min_length"]) == (False, 9)
    assert after["has_accounts"] is True


def written(folder: Path, name: str, text: str) -> None:
    """A moment later than any other file, whatever the clock of the disk can tell apart."""
    (folder / name).write_text(text)
    os.utime(folder / name, ns=(0, max(path.stat().st_mtime_ns for path in folder.iterdir()) + 1))


def test_while_people_work_on_the_files_a_change_is_seen_and_else_it_is_not(tmp_path: Path) -> None:
    written(tmp_path, "app.js", "1")
    working, serving = reader(tmp_path, changing=True), reader(tmp_path, changing=False)
    first = working()

    written(tmp_path, "app.js", "2")
    written(tmp_path, "new.js", "3")

    assert working().files["app.js"].body == b"2"
    assert "new.js" in working().files
    assert working().version != first.version
    assert working() is working()
    assert serving().version == first.version


def test_any_change_of_any_file_is_another_version(tmp_path: Path) -> None:
    versions = set()
    for name, text in (("a.js", "1"), ("a.js", "2"), ("b.js", ""), ("index.html", "{static}")):
        written(tmp_path, name, text)
        versions.add(Assets.read(tmp_path).version)

    assert len(versions) == 4
